"""Turns a batch as the driver gives it into rows under the types of the plans, and says which rows cannot be."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from metricfoundry_dagster.pipeline.staging.measure_sqlite import staged_kind
from metricfoundry_dagster.pipeline.staging.read_sqlite_batches import OtherTypesError
from metricfoundry_dagster.pipeline.staging.rejects import Reject, Rows
from metricfoundry_dagster.pipeline.staging.sqlite_columns import SqlitePlan, Storage
from metricfoundry_dagster.pipeline.staging.text_kinds import (
    EXACT_FLOAT_LIMIT,
    Kind,
    convert,
    join,
    kind_of,
    largest,
    type_of,
    unfit,
)
from metricfoundry_dagster.pipeline.staging.typed_columns import TooNarrowError

_TEMPORAL = (Kind.DATE, Kind.TIME, Kind.ZONED)


class SqliteBatchConverter:
    """Converts the batches of one scan.

    `proved` says that the plans come from all values of the table, so that what does not fit is rejected.
    """

    def __init__(self, plans: Sequence[SqlitePlan], *, proved: bool) -> None:
        self._plans, self._proved = plans, proved
        self._schema = pa.schema([(plan.name, type_of(plan.kind)) for plan in plans])
        self._rows_before = 0

    def converted(self, batch: pa.RecordBatch, *, rowids: bool) -> Rows:
        """The rows of a batch, whose rowids come last if `rowids`, and rejects for what is no text or does not convert.

        Raises:
            OtherTypesError: the plans, not proved, may not hold for the batch.
            TooNarrowError: values are of a wider kind than in the batches before; their plans have been widened.
        """
        columns, arrays = iter(batch.columns), []
        bad: dict[int, tuple[SqlitePlan, str, bytes]] = {}
        for plan in self._plans:
            parts = {part: next(columns) for part, _sql in plan.selected()}
            arrays.append(self._raw(plan, parts, batch.num_rows, bad))
        rejects = [self._reject(batch, number, *why, rowids=rowids) for number, why in sorted(bad.items())]
        self._rows_before += batch.num_rows
        if bad:
            keep = np.ones(batch.num_rows, np.bool_)
            keep[list(bad)] = False
            arrays = [array.filter(pa.array(keep)) for array in arrays]
        typed = [_typed(plan, array) for plan, array in zip(self._plans, arrays, strict=True)]
        if any(array is None for array in typed):
            raise TooNarrowError
        return Rows(pa.table(typed, schema=self._schema), rejects)

    def _raw(
        self, plan: SqlitePlan, parts: dict[Storage, pa.Array], rows: int, bad: dict[int, tuple[SqlitePlan, str, bytes]]
    ) -> pa.Array:
        """The values in one array: numbers as they are, all else as valid text."""
        if Storage.TEXT in parts and not _is_valid(parts[Storage.TEXT]):
            if not self._proved:
                raise OtherTypesError
            raws = parts[Storage.TEXT].view(pa.binary()).to_pylist()
            decoded = [_decoded(raw) for raw in raws]
            for number, (raw, text) in enumerate(zip(raws, decoded, strict=True)):
                if raw is not None and text is None:
                    bad.setdefault(number, (plan, "text.invalid_encoding", raw))
            parts[Storage.TEXT] = pa.array(decoded, pa.string())
        if plan.storage in (Storage.INTEGER, Storage.REAL):
            array = parts[plan.storage]
            if not self._proved and _may_be_inexact(plan, array):
                raise OtherTypesError
            return array
        texts = _united(parts, rows)
        if plan.fixed:
            texts = _truths(texts) if plan.kind is Kind.BOOL else texts
            misfits = unfit(texts, plan.kind).fill_null(fill_value=False).to_numpy(zero_copy_only=False)
            for misfit in np.flatnonzero(misfits).tolist():
                bad.setdefault(misfit, (plan, "text.wrong_type", texts[misfit].as_py().encode()))
        return texts

    def _reject(self, batch: pa.RecordBatch, number: int, plan: SqlitePlan, code: str, raw: bytes, *, rowids: bool) -> Reject:
        row = f"rowid {batch.columns[-1][number].as_py()}" if rowids else f"row {self._rows_before + number + 1} as read"
        what = "the text is no UTF-8" if code == "text.invalid_encoding" else f"the value is no {type_of(plan.kind)}"
        return Reject(None, code, f"{row}: {what}", raw, plan.name)


def _typed(plan: SqlitePlan, array: pa.Array) -> pa.Array | None:
    """The array under the type of its plan; None when the plan had to be widened."""
    if plan.fixed:
        return convert(array, plan.kind) if plan.kind is not Kind.TEXT else array
    if plan.kind is Kind.BOOL:
        bounds = pc.min_max(array).as_py()
        if bounds["min"] is not None and (bounds["min"] < 0 or bounds["max"] > 1):
            plan.kind = Kind.INT
            return None
        return pc.cast(array, pa.bool_())
    if plan.storage is not Storage.TEXT or plan.kind is Kind.TEXT:
        return array
    if plan.kind in _TEMPORAL:
        try:
            return pc.cast(array, type_of(plan.kind))  # nearly always, and then it is proved
        except pa.ArrowInvalid:
            pass
    kind = join(plan.kind, staged_kind(kind_of(array)))
    if kind is not plan.kind:
        plan.kind = kind
        return None
    return convert(array, kind)


def _may_be_inexact(plan: SqlitePlan, array: pa.Array) -> bool:
    """Whether integers may have become doubles that are not equal to them."""
    always_real = plan.column.affinity == "real" and not plan.column.copied
    return plan.storage is Storage.REAL and not always_real and largest(array) >= EXACT_FLOAT_LIMIT


def _united(parts: dict[Storage, pa.Array], rows: int) -> pa.Array:
    texts = [_text(part, array) for part, array in parts.items()]
    if not texts:
        return pa.nulls(rows, pa.string())
    return pc.coalesce(*texts) if len(texts) > 1 else texts[0]


def _text(part: Storage, array: pa.Array) -> pa.Array:
    if part is Storage.REAL:
        return pc.cast(array, pa.string())  # the shortest that reads as the same number
    if part is Storage.BLOB:
        return pc.cast(pl.Series(array).bin.encode("base64").to_arrow(), pa.string())
    return array


def _truths(texts: pa.Array) -> pa.Array:
    """Numbers are how SQLite spells truth."""
    for number, word in (("0", "false"), ("1", "true")):
        texts = pc.if_else(pc.equal(texts, number), word, texts)
    return texts


def _decoded(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None


def _is_valid(texts: pa.Array) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True

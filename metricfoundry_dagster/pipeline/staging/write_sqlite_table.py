"""Writes one table of an SQLite file: rows under their types, misfits as rejects, and a ledger that SQLite's count closes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa

from metricfoundry_dagster.domain.errors import InternalError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import TableProduct
from metricfoundry_dagster.pipeline.staging.convert_sqlite_batch import SqliteBatchConverter
from metricfoundry_dagster.pipeline.staging.destinations import Written
from metricfoundry_dagster.pipeline.staging.measure_sqlite import Look, look_at, plans_by_all_values
from metricfoundry_dagster.pipeline.staging.read_sqlite_batches import (
    DRIVER_ERRORS,
    OtherTypesError,
    SqliteBatches,
    rows_per_batch,
)
from metricfoundry_dagster.pipeline.staging.rejects import Reject
from metricfoundry_dagster.pipeline.staging.sqlite_columns import SqlitePlan, Storage
from metricfoundry_dagster.pipeline.staging.sqlite_file import SqliteFile, SqliteTable
from metricfoundry_dagster.pipeline.staging.text_kinds import Kind, type_of
from metricfoundry_dagster.pipeline.staging.typed_columns import TooNarrowError
from metricfoundry_dagster.pipeline.staging.write_table import Destination, TableWriter, open_table

_UTF8_MAX_BYTES = 4


class SqliteTableStaging:
    """Stages one table."""

    def __init__(
        self,
        file: SqliteFile,
        batches: SqliteBatches,
        table: SqliteTable,
        to: Destination,
        limits: Limits,
        kinds: Mapping[str, Kind],
        progress: Callable[[float], None],
        block_bytes: int,
    ) -> None:
        self._file, self._batches, self._table, self._to = file, batches, table, to
        self._limits, self._kinds, self._progress, self._block_bytes = limits, kinds, progress, block_bytes

    def run(self) -> Written:
        """Write the table, in one scan if its ends tell what it holds.

        Raises:
            UserError: `sqlite.corrupt`, `sqlite.unreadable`, `sqlite.time_limit` or `file.too_large`.
            InternalError: `staging.out_of_balance`.
        """
        look = look_at(self._file, self._table, self._limits, self._kinds)
        if look.sure:
            with suppress(OtherTypesError):
                return self._written(look, look.plans, proved=False)
        plans = plans_by_all_values(self._file, self._table, look.rows, self._kinds)
        try:
            return self._written(look, plans, proved=True)
        except OtherTypesError:
            self._require_sound()
            message = f"{self._table.name!r} counts {look.rows} rows, and others were read"
            raise InternalError("staging.out_of_balance", message) from None

    def _written(self, look: Look, plans: Sequence[SqlitePlan], *, proved: bool) -> Written:
        while True:
            try:
                return self._pass(look, plans, proved=proved)
            except TooNarrowError:
                continue  # kinds only widen

    def _pass(self, look: Look, plans: Sequence[SqlitePlan], *, proved: bool) -> Written:
        schema = pa.schema([(plan.name, type_of(plan.kind)) for plan in plans])
        long = look.longest_row_bytes > self._limits.max_cell_bytes
        conditions = self._conditions(plans, proved=proved, long=long)
        with open_table(self._to, schema) as writer:
            if conditions and proved:
                writer.reject(self._misfits(plans, conditions))
            self._write_rows(writer, look, plans, _all_of(list(conditions.values())), proved=proved)
            if writer.rows_out + writer.rows_rejected != look.rows:
                raise OtherTypesError
            writer.finish()
        columns = tuple(plan.product() for plan in plans)
        return TableProduct(self._to.table, columns, look.rows, writer.rows_out, writer.rows_rejected), writer.files()

    def _write_rows(self, writer: TableWriter, look: Look, plans: Sequence[SqlitePlan], where: str, *, proved: bool) -> None:
        converter, unpacked_bytes, too_narrow = SqliteBatchConverter(plans, proved=proved), 0, False
        rowids = proved and self._table.rowid is not None
        for batch in self._read(
            plans, where, rowids=rowids, batch_rows=rows_per_batch(look.longest_row_bytes, self._block_bytes)
        ):
            unpacked_bytes += batch.nbytes
            self._file.require_size_allowed(unpacked_bytes, self._table.name)
            try:
                rows = converter.converted(batch, rowids=rowids and batch.num_columns > _selected(plans))
            except TooNarrowError:
                too_narrow = True
                continue
            if not too_narrow:
                writer.write(rows.table)
                writer.reject(rows.rejects)
                self._progress(writer.rows_out / max(look.rows, 1))
            if writer.rows_out > look.rows:
                raise OtherTypesError
        if too_narrow:
            raise TooNarrowError

    def _read(self, plans: Sequence[SqlitePlan], where: str, *, rowids: bool, batch_rows: int) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches.read(self._table, plans, where, rowids=rowids, batch_rows=batch_rows)
        except DRIVER_ERRORS as error:
            raise self._file.refusal(error, self._table.name) from error

    def _conditions(self, plans: Sequence[SqlitePlan], *, proved: bool, long: bool) -> dict[int, str]:
        """What keeps rows out that cannot be read, by the column's number; never null."""
        conditions: dict[int, str] = {}
        for number, plan in enumerate(plans):
            wanted = []
            if plan.misfits if proved else plan.storage not in (Storage.INTEGER, Storage.REAL):
                wanted.append(plan.fits())
            if long and plan.storage in (Storage.TEXT, Storage.BLOB, Storage.MIXED):
                wanted.append(f"coalesce(length(CAST({plan.column.expression} AS BLOB)), 0) <= {self._limits.max_cell_bytes}")
            if wanted:
                conditions[number] = _all_of(wanted)
        return conditions

    def _misfits(self, plans: Sequence[SqlitePlan], conditions: Mapping[int, str]) -> Iterator[Reject]:
        """The rows that the conditions keep out, each with the first value that is why."""
        raw_bytes = _UTF8_MAX_BYTES * (self._limits.max_raw_chars + 1)

        def of_first(value: str) -> str:
            cases = (f"WHEN NOT {at} THEN {value.format(n=n, c=plans[n].column.expression)}" for n, at in conditions.items())
            return f"CASE {' '.join(cases)} END"

        values = ("{n}", "typeof({c})", "length(CAST({c} AS BLOB))", f"substr(CAST({{c}} AS BLOB), 1, {raw_bytes})")
        selected = ", ".join([self._table.rowid or "NULL", *map(of_first, values)])
        where = f"NOT {_all_of(list(conditions.values()))}"
        with self._file.connection(self._table.path, self._table.name) as connection:
            encoding = bytes(connection.execute("PRAGMA encoding").fetchone()[0]).decode()
            query = f"SELECT {selected} FROM {self._table.reference} NOT INDEXED WHERE {where}"  # noqa: S608 - names are quoted
            for rowid, number, class_, size_bytes, value in connection.execute(query):
                class_name = bytes(class_).decode()
                raw = bytes(value) if class_name != "text" else bytes(value).decode(encoding, "replace").encode()
                yield self._reject(rowid, plans[number], class_name, size_bytes, raw)

    def _reject(self, rowid: int | None, plan: SqlitePlan, class_name: str, size_bytes: int, raw: bytes) -> Reject:
        row = "a row" if rowid is None else f"rowid {rowid}"
        if size_bytes > self._limits.max_cell_bytes:
            reason = f"{row}: the value has {size_bytes} bytes, {self._limits.max_cell_bytes} are allowed"
            return Reject(None, "sqlite.cell_too_long", reason, raw, plan.name)
        reason = f"{row}: a value of class {class_name.upper()} among values of class {plan.storage.upper()}"
        return Reject(None, "sqlite.type_mismatch", reason, raw, plan.name)

    def _require_sound(self) -> None:
        """Raise `sqlite.corrupt` when SQLite finds the table damaged."""
        with self._file.connection(self._table.path, self._table.name) as connection:
            row = connection.execute(f"PRAGMA quick_check({self._table.reference})").fetchone()
        if row is None or bytes(row[0]) != b"ok":
            words = bytes(row[0]).decode(errors="replace") if row else "no answer"
            raise self._file.refusal(ValueError(f"malformed: {words}"), self._table.name)


def _selected(plans: Sequence[SqlitePlan]) -> int:
    return sum(len(plan.selected()) for plan in plans)


def _all_of(conditions: list[str]) -> str:
    """Their conjunction, nested evenly: SQLite bounds the depth of an expression."""
    if len(conditions) <= 1:
        return conditions[0] if conditions else "true"
    middle = len(conditions) // 2
    return f"({_all_of(conditions[:middle])} AND {_all_of(conditions[middle:])})"

"""Reads one block of records, each a JSON object, into typed rows, and accounts for every record.

As with CSV there is a quick look by PyArrow under the columns known so far, and a second look record by record for
what that cannot take: bad records, new keys, lists, mixed values, numbers that float64 cannot hold.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.find_marks import Positions
from metricfoundry_dagster.pipeline.staging.json_text import RawNumber, json_text
from metricfoundry_dagster.pipeline.staging.nested_values import (
    Children,
    FlatRow,
    Key,
    MixedShapesError,
    column_words,
    flat_columns,
    flatten,
    struct_schema,
)
from metricfoundry_dagster.pipeline.staging.parse_json import LINE, BadJsonError, Words, parse_object, reject_of
from metricfoundry_dagster.pipeline.staging.rejects import PARENT_COLUMN, ROW_COLUMN, Reject, Rows
from metricfoundry_dagster.pipeline.staging.text_kinds import (
    EXACT_FLOAT_LIMIT,
    Kind,
    convert,
    is_utf8,
    kind_of,
    largest,
    trimmed,
    type_of,
    unfit,
)
from metricfoundry_dagster.pipeline.staging.typed_columns import TooNarrowError, TypedColumn, fix_types, schema_of
from metricfoundry_dagster.pipeline.staging.write_blocks import RecordBlock

_NO_CHILDREN: list[Children] = []
_DATED = (Kind.DATE, Kind.TIME, Kind.ZONED)


class ObjectBlock(RecordBlock, Protocol):
    """Records of which each should be an object."""

    def text(self) -> bytes | memoryview:
        """All records, with blanks between them."""

    def text_starts(self) -> Positions:
        """Where each record starts in `text`."""

    def text_lasts(self) -> Positions:
        """Where the last byte of each record lies in `text`."""

    def records(self) -> list[bytes]:
        """All of them, in order."""

    def raw(self, number: int) -> bytes:
        """One record as it came, numbered from 0."""

    def line(self, number: int) -> int:
        """The physical line on which it starts."""


class Spool(Protocol):
    """Takes what belongs into other tables."""

    def add_rows(self, count: int, children: list[Children]) -> None:
        """Take the children of the next rows of the table; an empty list when none of them has any."""


@dataclass(frozen=True, slots=True)
class JsonReading:
    """How records are read: `depth` is None when nested values stay JSON text, else how deep objects are flattened."""

    filename: str
    limits: Limits
    types: Mapping[str, str] = field(default_factory=dict)
    depth: int | None = None
    words: Words = LINE


class _MisfitError(Exception):
    """The quick look does not suffice."""


class JsonlBlockReader:
    """Reads blocks; a key that comes up for the first time becomes a column behind the others."""

    def __init__(self, how: JsonReading, spool: Spool | None = None, *, is_child: bool = False) -> None:
        """`spool` takes lists of objects, where they are to become tables; `is_child` when these rows came out of one."""
        self._how, self._spool, self._is_child = how, spool, is_child
        self._by_key: dict[Key, TypedColumn] = {}
        self._has_children = False

    @property
    def columns(self) -> list[TypedColumn]:
        """The columns, those that join the tables of nested data first."""
        joining = [ROW_COLUMN] * self._is_numbered + [PARENT_COLUMN] * self._is_child
        return [*(TypedColumn(name, None, Kind.INT) for name in joining), *self._by_key.values()]

    def look(self, block: ObjectBlock) -> None:
        """Learn the columns and their kinds from the first records."""
        rows, _numbers, _rejects = self._rows(block)
        self._add_columns(rows)
        self._widen(rows)

    def read(self, block: ObjectBlock) -> Rows:
        """The typed rows of a block. Raises TooNarrowError when columns were added or widened."""
        try:
            table = self._quick_look(block)
            rows, children = Rows(table, [], None, self._is_numbered), _NO_CHILDREN  # the schema has none
        except (pa.ArrowInvalid, _MisfitError, MixedShapesError):
            with _collector_paused():
                rows, children = self._second_look(block)
        if self._spool is not None:
            self._spool.add_rows(rows.table.num_rows, children)
        parents = getattr(block, "parents", None)
        if self._is_child and parents is not None:
            kept = parents if rows.numbers is None else parents[rows.numbers]
            table = rows.table.add_column(0, pa.field(PARENT_COLUMN, pa.int64()), pa.array(kept))
            return Rows(table, rows.rejects, rows.numbers, rows.numbered)
        return rows

    @property
    def _is_numbered(self) -> bool:
        return self._is_child or self._has_children

    def _schema(self) -> pa.Schema:
        return schema_of(list(self._by_key.values()))

    def _quick_look(self, block: ObjectBlock) -> pa.Table:
        text = block.text()
        columns = self._by_key.values()
        if not columns or any(column.fixed and not column.is_text for column in columns):
            raise _MisfitError
        if not _are_objects(block, text) or not is_utf8(text):  # the parser does not look
            raise _MisfitError
        schema = struct_schema((key, _parsed_type(column.kind)) for key, column in self._by_key.items())
        table = pa_json.read_json(
            pa.py_buffer(text),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(text) + 1024),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        if table.num_rows != block.record_count:
            raise _MisfitError
        arrays = flat_columns(table, self._by_key)
        settled = [_settled(column, array) for column, array in zip(columns, arrays, strict=True)]
        return pa.table(settled, schema=self._schema())

    def _second_look(self, block: ObjectBlock) -> tuple[Rows, list[Children]]:
        before = self._schema(), self._is_numbered
        rows, numbers, rejects = self._rows(block)
        self._add_columns(rows)
        self._widen(rows)
        if (self._schema(), self._is_numbered) != before:
            raise TooNarrowError
        unfitting = np.zeros(len(rows), np.bool_)
        arrays = []
        for key, column in self._by_key.items():
            values = [one.values.get(key) for one in rows]
            if column.fixed and not column.is_text:
                texts = pa.array([_text(value) for value in values], pa.string())
                misfits = unfit(texts, column.kind)
                for row in np.flatnonzero(misfits.to_numpy(zero_copy_only=False) & ~unfitting).tolist():
                    reason = f"{_text(values[row])!r} is no {type_of(column.kind)}, which was asked for"
                    number = numbers[row]
                    rejects.append(Reject(block.line(number), "text.wrong_type", reason, block.raw(number), column.name))
                    unfitting[row] = True
                arrays.append(convert(pc.if_else(misfits, pa.scalar(None, pa.string()), texts), column.kind))
            else:
                arrays.append(_array(values, column.kind))
        table = _table(arrays, self._schema(), len(rows))
        table = table.filter(pa.array(~unfitting)) if unfitting.any() else table
        children = [one.children for one, is_unfit in zip(rows, unfitting.tolist(), strict=True) if not is_unfit]
        return Rows(table, rejects, np.array(numbers, np.int64)[~unfitting], self._is_numbered), children

    def _rows(self, block: ObjectBlock) -> tuple[list[FlatRow], list[int], list[Reject]]:
        """The rows of a block with the numbers of their records in it, and the records that are none."""
        how = self._how
        rows, numbers, rejects = [], [], []
        for number, raw in enumerate(block.records()):
            try:
                one = parse_object(raw, how.words, max_depth=how.limits.max_json_depth)
                rows.append(flatten(one, how.depth))
                numbers.append(number)
            except BadJsonError as fault:
                rejects.append(reject_of(fault, block.raw(number), block.line(number), how.words, how.filename))
        return rows, numbers, rejects

    def _add_columns(self, rows: list[FlatRow]) -> None:
        self._has_children = self._has_children or any(one.children for one in rows)
        new = [key for key in dict.fromkeys(key for one in rows for key in one.values) if key not in self._by_key]
        if not new:
            return
        keys = [*self._by_key, *new]
        if len(keys) > self._how.limits.max_columns:
            message = f"the objects have more than {self._how.limits.max_columns} different keys"
            raise UserError("csv.too_many_columns", message, place=Place(file=self._how.filename))
        joining = [] if self._how.depth is None else [ROW_COLUMN, PARENT_COLUMN]
        words = [column_words(key) for key in keys]
        names = safe_names([*joining, *(wish for wish, _source_name in words)])[len(joining) :]
        for key, name, (_wish, source_name) in list(zip(keys, names, words, strict=True))[len(self._by_key) :]:
            self._by_key[key] = TypedColumn(name, source_name)
        fix_types([self._by_key[key] for key in new], self._how.types)

    def _widen(self, rows: list[FlatRow]) -> None:
        for key, column in self._by_key.items():
            if not column.fixed and column.kind is not Kind.TEXT:
                values = (one.values.get(key) for one in rows)
                column.widen(_kind([value for value in values if value is not None]))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """So many objects are made, with no cycle among them, that Python's collector would go through them over and over."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _are_objects(block: ObjectBlock, text: bytes | memoryview) -> bool:
    """Whether each record begins and ends as an object does, so that as many rows as records are the same rows."""
    data = np.frombuffer(text, np.uint8)
    return bool((data[block.text_starts()] == ord("{")).all() and (data[block.text_lasts()] == ord("}")).all())


def _table(arrays: list[pa.Array], schema: pa.Schema, count: int) -> pa.Table:
    """A table, which has `count` rows even without a column."""
    if arrays:
        return pa.table(arrays, schema=schema)
    return pa.table({"": pa.nulls(count)}).select([])


def _parsed_type(kind: Kind) -> pa.DataType:
    if kind is Kind.NULL:
        return pa.null()
    return pa.string() if kind in _DATED else type_of(kind)


def _settled(column: TypedColumn, array: pa.Array) -> pa.Array:
    """The column's values, if they need no closer look."""
    if column.kind in (Kind.INT, Kind.FLOAT) and largest(array) >= EXACT_FLOAT_LIMIT:
        if column.kind is Kind.FLOAT:
            raise _MisfitError
        column.widen(Kind.BIG)
    return pc.cast(array, type_of(column.kind))


def _kind(values: list[Any]) -> Kind:
    """The kind of JSON values, none of them null. A text that looks like a number stays text."""
    types = {type(value) for value in values}
    if types == {bool}:
        return Kind.BOOL
    if types == {RawNumber}:
        return kind_of(pa.array(values, pa.string()))
    if types == {str}:
        texts = pa.array(values, pa.string())
        kind = kind_of(texts)
        return kind if kind in _DATED and trimmed(texts).equals(texts) else Kind.TEXT
    return Kind.TEXT if types else Kind.NULL


def _array(values: list[Any], kind: Kind) -> pa.Array:
    if kind is Kind.BOOL:
        return pa.array(values, pa.bool_())
    return pc.cast(pa.array([_text(value) for value in values], pa.string()), type_of(kind))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json_text(value)

"""Reads one block of lines, each a JSON object, into typed rows, and accounts for every line.

As with CSV there is a quick look by PyArrow under the columns known so far, and a second look line by line for
what that cannot take: bad lines, new keys, nested or mixed values, numbers that float64 cannot hold.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.cut_records import Block
from metricfoundry_dagster.pipeline.staging.json_text import RawNumber, json_text
from metricfoundry_dagster.pipeline.staging.rejects import Reject, Rows
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

_DATED = (Kind.DATE, Kind.TIME, Kind.ZONED)


class _MisfitError(Exception):
    """The quick look does not suffice."""


class _NoObjectError(Exception):
    """A line is not what it must be; `code` and `reason` say why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class JsonlBlockReader:
    """Reads blocks; a key that comes up for the first time becomes a column behind the others."""

    def __init__(self, types: Mapping[str, str], filename: str, limits: Limits) -> None:
        self.columns: list[TypedColumn] = []
        self._types, self._filename, self._max_columns = types, filename, limits.max_columns
        self._by_key: dict[str, TypedColumn] = {}

    def look(self, block: Block) -> None:
        """Learn the columns and their kinds from the first lines."""
        objects, _numbers, _rejects = _objects(block)
        self._add_columns(objects)
        self._widen(objects)

    def read(self, block: Block) -> Rows:
        """The typed rows of a block. Raises TooNarrowError when columns were added or widened."""
        try:
            return Rows(self._quick_look(block), [])
        except (pa.ArrowInvalid, _MisfitError):
            return self._second_look(block)

    def _quick_look(self, block: Block) -> pa.Table:
        text = block.text()
        if not _one_object_a_line(block, text) or any(column.fixed and not column.is_text for column in self.columns):
            raise _MisfitError
        if not is_utf8(text):  # the parser does not look
            raise _MisfitError
        schema = pa.schema([(key, _parsed_type(column.kind)) for key, column in self._by_key.items()])
        table = pa_json.read_json(
            pa.py_buffer(text),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(text) + 1024),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        if table.num_rows != block.record_count:
            raise _MisfitError
        arrays = [_settled(column, array.combine_chunks()) for column, array in zip(self.columns, table.columns, strict=True)]
        return pa.table(arrays, schema=schema_of(self.columns))

    def _second_look(self, block: Block) -> Rows:
        before = schema_of(self.columns)
        objects, numbers, rejects = _objects(block)
        self._add_columns(objects)
        self._widen(objects)
        if schema_of(self.columns) != before:
            raise TooNarrowError
        unfitting = np.zeros(len(objects), np.bool_)
        arrays = []
        for key, column in self._by_key.items():
            values = [one.get(key) for one in objects]
            if column.fixed and not column.is_text:
                texts = pa.array([_text(value) for value in values], pa.string())
                misfits = unfit(texts, column.kind)
                for row in np.flatnonzero(misfits.to_numpy(zero_copy_only=False) & ~unfitting).tolist():
                    reason = f"{_text(values[row])!r} is no {type_of(column.kind)}, which was asked for"
                    number = numbers[row]
                    rejects.append(Reject(block.line(number), "text.wrong_type", reason, block.record(number), column.name))
                    unfitting[row] = True
                arrays.append(convert(pc.if_else(misfits, pa.scalar(None, pa.string()), texts), column.kind))
            else:
                arrays.append(_array(values, column.kind))
        table = pa.table(arrays, schema=schema_of(self.columns))
        return Rows(table.filter(pa.array(~unfitting)) if unfitting.any() else table, rejects)

    def _add_columns(self, objects: list[dict[str, Any]]) -> None:
        new = [key for key in dict.fromkeys(key for one in objects for key in one) if key not in self._by_key]
        if not new:
            return
        keys = [*self._by_key, *new]
        if len(keys) > self._max_columns:
            message = f"the objects have more than {self._max_columns} different keys"
            raise UserError("csv.too_many_columns", message, place=Place(file=self._filename))
        for key, name in list(zip(keys, safe_names(keys), strict=True))[len(self._by_key) :]:
            self._by_key[key] = TypedColumn(name, key)
        self.columns = list(self._by_key.values())
        fix_types([self._by_key[key] for key in new], self._types)

    def _widen(self, objects: list[dict[str, Any]]) -> None:
        for key, column in self._by_key.items():
            if not column.fixed and column.kind is not Kind.TEXT:
                column.widen(_kind([one[key] for one in objects if one.get(key) is not None]))


def _objects(block: Block) -> tuple[list[dict[str, Any]], list[int], list[Reject]]:
    """The objects of a block with the numbers of their lines in it, and the lines that are none."""
    objects, numbers, rejects = [], [], []
    for number in range(block.record_count):
        raw = block.record(number)
        try:
            objects.append(_parse_object(raw))
            numbers.append(number)
        except _NoObjectError as fault:
            rejects.append(Reject(block.line(number), fault.code, fault.reason, raw))
    return objects, numbers, rejects


def has_keys(raw: bytes) -> bool:
    """Whether a line is a JSON object with at least one key."""
    try:
        return bool(_parse_object(raw))
    except _NoObjectError:
        return False


def _parse_object(raw: bytes) -> dict[str, Any]:
    """One line as an object; numbers keep the text that they have. Raises _NoObjectError."""
    try:
        value = _DECODER.decode(raw.decode())
        if b"\\u" in raw:
            json_text(value).encode()
    except UnicodeDecodeError as error:
        reason = f"byte {raw[error.start]:#04x} at offset {error.start} of the line is not UTF-8"
        raise _NoObjectError("text.invalid_encoding", reason) from error
    except UnicodeEncodeError as error:
        raise _NoObjectError("jsonl.invalid_json", "an escape is one half of a surrogate pair") from error
    except RecursionError as error:
        raise _NoObjectError("jsonl.invalid_json", "the values are nested too deeply") from error
    except ValueError as error:  # also what the hooks of the decoder raise
        raise _NoObjectError("jsonl.invalid_json", f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise _NoObjectError("jsonl.not_an_object", "the line is JSON, but not an object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members


def _one_object_a_line(block: Block, text: bytes | memoryview) -> bool:
    """Whether each line begins and ends as an object does, so that as many rows as lines are the same rows."""
    data = np.frombuffer(text, np.uint8)
    starts = block.text_starts()
    last = starts + (block.stops - block.starts) - 2
    last = last - (data[last] == ord("\r"))
    return bool((data[starts] == ord("{")).all() and (data[last] == ord("}")).all())


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


_DECODER = json.JSONDecoder(parse_int=RawNumber, parse_float=RawNumber, parse_constant=_no_constant, object_pairs_hook=_distinct)

"""Reads one block of CSV records into typed rows, and accounts for every one of them.

The quick look lets PyArrow parse the block under the types known so far. What it cannot take (bad encoding, a
value that does not fit, a spelled-out null) goes to the second look, which reads texts and applies our own rules.
Either way rows and rejects together are the records that the cutter counted.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from metricfoundry_dagster.domain.errors import InternalError
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.recognise_format import UTF8_BOM
from metricfoundry_dagster.pipeline.staging.cut_records import Block
from metricfoundry_dagster.pipeline.staging.odd_numbers import count_odd_fields, count_odd_texts
from metricfoundry_dagster.pipeline.staging.rejects import Reject, Rows
from metricfoundry_dagster.pipeline.staging.split_fields import field_rule, split_values
from metricfoundry_dagster.pipeline.staging.text_kinds import (
    EXACT_FLOAT_LIMIT,
    FALSE_TEXTS,
    NUMERIC,
    TRUE_TEXTS,
    Kind,
    convert,
    is_utf8,
    kind_of,
    largest,
    trimmed,
    type_of,
    unfit,
)
from metricfoundry_dagster.pipeline.staging.typed_columns import TooNarrowError, TypedColumn, schema_of


class _MisfitError(Exception):
    """The quick look does not suffice."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """The columns of `block` as texts, and the rejects that were records of `source` beside it."""

    source: Block
    block: Block
    columns: list[pa.Array]
    rejects: list[Reject]


class CsvBlockReader:
    """Reads blocks under `columns`, whose kinds it widens when values ask for it."""

    def __init__(self, recipe: Recipe, columns: list[TypedColumn]) -> None:
        self.columns = columns
        self._delimiter, self._quote = recipe.delimiter, recipe.quote
        self._rule = field_rule(recipe)
        self._looked_at: _Texts | None = None

    def look(self, block: Block) -> None:
        """Learn the kinds of the columns from a first block. When it is read next, that costs little."""
        self._looked_at = self._texts(block)
        self._widen(self._looked_at.columns)

    def read(self, block: Block) -> Rows:
        """The typed rows of a block.

        Raises:
            TooNarrowError: the kinds of some columns have been widened; rows read before do not fit them.
            InternalError: `staging.out_of_balance`, the parser and the cutter disagree on more than single records.
        """
        looked_at, self._looked_at = self._looked_at, None
        if looked_at is not None and looked_at.source is block:
            return self._typed(looked_at)
        try:
            return self._quick_look(block)
        except (pa.ArrowInvalid, _MisfitError):
            texts = self._texts(block)
            self._widen_or_signal(texts.columns)
            return self._typed(texts)

    def _quick_look(self, block: Block) -> Rows:
        text = block.text()
        if not self._rule.is_plain or not is_utf8(text):
            raise _MisfitError
        types = [pa.string() if column.by_hand else type_of(column.kind) for column in self.columns]
        table, bad = self._parse(text, types)
        if table.num_rows + len(bad) != block.record_count:
            raise _MisfitError
        arrays = [_array(column) for column in table.columns]
        self._require_plain_numbers(block, text, arrays)
        typed = [self._settled(column, array) for column, array in zip(self.columns, arrays, strict=True)]
        return Rows(pa.table(typed, schema=schema_of(self.columns)), _ragged(block, bad, len(self.columns)))

    def _settled(self, column: TypedColumn, array: pa.Array) -> pa.Array:
        """The column's values, if they need no closer look."""
        if column.kind is Kind.NULL:
            if array.null_count < len(array) and kind_of(array) is not Kind.NULL:
                raise _MisfitError
            return array
        if column.fixed and not column.is_text and pc.any(unfit(array, column.kind)).as_py():
            raise _MisfitError
        typed = convert(array, column.kind) if column.by_hand else array
        if column.kind in (Kind.INT, Kind.FLOAT) and not column.fixed and largest(typed) >= EXACT_FLOAT_LIMIT:
            if column.kind is Kind.INT:
                column.widen(Kind.BIG)
            elif not column.by_hand or kind_of(array) is not Kind.FLOAT:
                raise _MisfitError
        return typed

    def _require_plain_numbers(self, block: Block, text: bytes | memoryview, arrays: list[pa.Array]) -> None:
        """Make sure that no number was read from a text that it does not stand for, as 7 from `007`."""
        numeric = [number for number, column in enumerate(self.columns) if column.kind in NUMERIC and not column.fixed]
        if not numeric:
            return
        quotes, paired = block.text_quotes()
        odd = count_odd_fields(text, block.text_starts(), quotes, paired=paired, delimiter=self._delimiter)
        if odd:
            others = (array for column, array in zip(self.columns, arrays, strict=True) if column.is_text)
            odd -= sum(count_odd_texts(array, self._delimiter) for array in others)
        if not odd:
            return
        unread = [number for number in numeric if not self.columns[number].by_hand]
        texts = self._parse(text, [pa.string()] * len(self.columns), unread)[0].columns if unread else []
        found = [_array(column) for column in texts]
        found += [trimmed(arrays[number]) for number in numeric if self.columns[number].by_hand]
        if any(count_odd_texts(array, self._delimiter) for array in found):
            raise _MisfitError

    def _typed(self, texts: _Texts) -> Rows:
        """The texts under the kinds of their columns, by our own rules."""
        block, rejects = texts.block, texts.rejects
        arrays, unfitting = [], np.zeros(block.record_count, np.bool_)
        for column, array in zip(self.columns, texts.columns, strict=True):
            if not column.fixed or column.is_text:
                arrays.append(convert(array, column.kind))
                continue
            misfits = unfit(array, column.kind)
            for row in np.flatnonzero(misfits.to_numpy(zero_copy_only=False) & ~unfitting).tolist():
                reason = f"{array[row].as_py()!r} is no {type_of(column.kind)}, which was asked for"
                rejects.append(Reject(block.line(row), "text.wrong_type", reason, block.record(row), column.name))
                unfitting[row] = True
            arrays.append(convert(pc.if_else(misfits, pa.scalar(None, pa.string()), array), column.kind))
        table = pa.table(arrays, schema=schema_of(self.columns))
        if unfitting.any():
            table = table.filter(pa.array(~unfitting))
        return Rows(table, rejects)

    def _texts(self, source: Block) -> _Texts:
        block, rejects = _decodable(source)
        parsed = self._parse_texts(block)
        if parsed is None:
            block, unparsable = self._parsable(block)
            rejects += unparsable
            parsed = self._parse_texts(block)
        if parsed is None:
            raise InternalError("staging.out_of_balance", f"{block.record_count} records cannot be read together")
        table, bad = parsed
        rejects += _ragged(block, bad, len(self.columns))
        rest = block.without([number for number, _fields in bad]) if bad else block
        return _Texts(source, rest, [_array(column) for column in table.columns], rejects)

    def _parse_texts(self, block: Block) -> tuple[pa.Table, list[tuple[int, int]]] | None:
        """All columns as texts, as `_parse` gives them; None when these are not the records that were counted."""
        if not self._rule.is_plain:
            return self._split(block)
        try:
            table, bad = self._parse(block.text(), [pa.string()] * len(self.columns))
        except pa.ArrowInvalid:
            return None
        return (table, bad) if table.num_rows + len(bad) == block.record_count else None

    def _split(self, block: Block) -> tuple[pa.Table, list[tuple[int, int]]]:
        """The same by our own rule, for dialects that the parser does not know."""
        width = len(self.columns)
        rows, bad = [], []
        for number in range(block.record_count):
            values = split_values(block.record(number).decode(), self._rule)
            if len(values) == width:
                rows.append(values)
            else:
                bad.append((number, len(values)))
        arrays = [pa.array([row[number] for row in rows], pa.string()) for number in range(width)]
        return pa.table(arrays, names=[column.name for column in self.columns]), bad

    def _parsable(self, block: Block) -> tuple[Block, list[Reject]]:
        """The block without the records that the parser does not take as one record each, and these as rejects."""
        reason = "the parser does not read it as one record"
        numbers = [n for n in range(block.record_count) if self._parse_texts(block.piece(n, n + 1)) is None]
        rejects = [Reject(block.line(number), "csv.unparsable", reason, block.record(number)) for number in numbers]
        return block.without(numbers), rejects

    def _widen_or_signal(self, texts: list[pa.Array]) -> None:
        """Widen the kinds to these texts, and signal it when the rows before were written in another type."""
        before = schema_of(self.columns)
        untyped = [column.kind is Kind.NULL for column in self.columns]
        self._widen(texts)
        if schema_of(self.columns) != before:
            raise TooNarrowError
        for column, was_untyped, array in zip(self.columns, untyped, texts, strict=True):
            needs_rules = column.kind is Kind.FLOAT and largest(convert(array, column.kind)) >= EXACT_FLOAT_LIMIT
            if not was_untyped and not column.is_text and (needs_rules or not trimmed(array).equals(array)):
                column.by_hand = True

    def _widen(self, texts: list[pa.Array]) -> None:
        for column, array in zip(self.columns, texts, strict=True):
            if not column.fixed and column.kind is not Kind.TEXT:
                column.widen(kind_of(array))

    def _parse(
        self, text: bytes | memoryview, types: list[pa.DataType], numbers: list[int] | None = None
    ) -> tuple[pa.Table, list[tuple[int, int]]]:
        """The columns `numbers` (all of them) as PyArrow reads them, and the records with another number of fields.

        Those are pairs of the record's number from 0 and its number of fields.
        """
        names = [column.name for column in self.columns]
        bad: list[tuple[int, int]] = []
        if not text:
            return pa.schema(list(zip(names, types, strict=True))).empty_table(), bad

        def skip(row: pa_csv.InvalidRow) -> str:
            bad.append((row.number - 1, row.actual_columns))
            return "skip"

        if text[: len(UTF8_BOM)] == UTF8_BOM:
            text = UTF8_BOM + text  # the parser takes one away, wherever in the file the block lies
        table = pa_csv.read_csv(
            pa.py_buffer(text),
            # One block, so that no record lies across two and the numbers of bad records count from its start.
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=max(len(text) + 1, 1024), column_names=names),
            parse_options=pa_csv.ParseOptions(
                delimiter=self._delimiter, quote_char=self._quote or False, invalid_row_handler=skip, newlines_in_values=False
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict(zip(names, types, strict=True)),
                include_columns=None if numbers is None else [names[number] for number in numbers],
                check_utf8=False,  # done before: a bad record with bad bytes in it would be lost
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=list(TRUE_TEXTS),
                false_values=list(FALSE_TEXTS),
            ),
        )
        return table, bad


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _decodable(block: Block) -> tuple[Block, list[Reject]]:
    """The block without the records that are not UTF-8, and these as rejects."""
    if is_utf8(block.text()):
        return block, []
    numbers, rejects = [], []
    for number in range(block.record_count):
        raw = block.record(number)
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            numbers.append(number)
            reason = f"byte {raw[error.start]:#04x} at offset {error.start} of the record is not UTF-8"
            rejects.append(Reject(block.line(number), "text.invalid_encoding", reason, raw))
    return block.without(numbers), rejects


def _ragged(block: Block, bad: list[tuple[int, int]], expected: int) -> list[Reject]:
    reason = "the record has {} fields, {} are expected"
    return [
        Reject(block.line(number), "csv.ragged_row", reason.format(fields, expected), block.record(number))
        for number, fields in bad
    ]

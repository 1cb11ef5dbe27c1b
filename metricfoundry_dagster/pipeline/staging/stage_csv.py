"""Stages a file of delimited text: the header, the blocks, and one table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.cut_records import Block, RecordCutter
from metricfoundry_dagster.pipeline.staging.decode_text import as_utf8, without_lines
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written
from metricfoundry_dagster.pipeline.staging.read_csv_block import CsvBlockReader
from metricfoundry_dagster.pipeline.staging.rejects import Reject
from metricfoundry_dagster.pipeline.staging.split_fields import field_rule, split_fields
from metricfoundry_dagster.pipeline.staging.typed_columns import TypedColumn, fix_types, require_columns
from metricfoundry_dagster.pipeline.staging.unpack_bytes import UnpackedBytes
from metricfoundry_dagster.pipeline.staging.write_blocks import write_blocks

BLOCK_BYTES = 8 * 1024**2
_HEADER_BYTES = 64 * 1024


def stage_csv(
    path: Path, recipe: Recipe, to: Destinations, limits: Limits, progress: Callable[[float], None], *, block_bytes: int
) -> list[Written]:
    """Write the one table of the file. `progress` is told the share that has been read, in 0..1.

    Raises:
        UserError: as `UnpackedBytes.chunks` and `csv_columns` do, and `request.invalid` for impossible types.
    """
    table = to.only()
    file = CsvFile(path, recipe, table.source, limits, block_bytes, to.note_encoding)
    return [write_blocks(lambda: file.blocks(progress), csv_reader(file, recipe), table)]


def csv_reader(file: "CsvFile", recipe: Recipe) -> CsvBlockReader:
    """A reader under the columns of the file, with the types that were asked for."""
    columns, types = file.columns(), recipe.types or {}
    if not recipe.typed:
        types = {column.name: "string" for column in columns} | dict(types)
    fix_types(columns, types)
    require_columns(columns, types)
    return CsvBlockReader(recipe, columns)


class CsvFile:
    """A file of delimited text as blocks of records."""

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        filename: str,
        limits: Limits,
        block_bytes: int,
        note_encoding: Callable[[str], object] = lambda _name: None,
    ) -> None:
        """`note_encoding` is told of an encoding that shows only later in the file."""
        self._path, self._recipe, self._filename, self._limits = path, recipe, filename, limits
        self._block_bytes, self._note_encoding = block_bytes, note_encoding

    def columns(self) -> list[TypedColumn]:
        """The columns that the first records name, or the first counts in a file without a header.

        Raises:
            UserError: `file.empty` without any record, `file.unknown_format` when the header cannot be read,
                `csv.undecodable` when it is not UTF-8, `csv.too_many_columns`.
        """
        bad: Reject | None = None
        records: list[tuple[bytes, int]] = []
        with self._cut(min(self._block_bytes, _HEADER_BYTES), _ignore) as blocks:
            for block in blocks:
                bad = bad or next(iter(block.rejects), None)
                if block.record_count and bad and self._recipe.has_header and bad.first_line < block.line(0):
                    break
                wanted = self._recipe.header_rows - len(records)
                records += [(block.record(n), block.line(n)) for n in range(min(wanted, block.record_count))]
                if len(records) == self._recipe.header_rows:
                    break
        if records:
            return self._columns_of(records)
        if bad is None:
            raise UserError("file.empty", "the file has no record", place=Place(file=self._filename))
        message = f"the first record cannot be read: {bad.reason}"
        hint = "Mend the line, or give the dialect; `metricfoundry inspect` shows what was found."
        raise UserError("file.unknown_format", message, place=Place(file=self._filename, line=bad.line), hint=hint)

    @contextmanager
    def blocks(self, progress: Callable[[float], None]) -> Iterator[Iterator[Block]]:
        """A pass over the blocks, the header left out."""
        with self._cut(self._block_bytes, progress) as blocks:
            yield _without_header(blocks, self._recipe.header_rows) if self._recipe.has_header else blocks

    @contextmanager
    def _cut(self, block_bytes: int, progress: Callable[[float], None]) -> Iterator[Iterator[Block]]:
        recipe = self._recipe
        with UnpackedBytes(self._path, recipe.compression, filename=self._filename, limits=self._limits) as source:
            text = as_utf8(source.chunks(block_bytes), recipe.encoding, found=self._note_encoding)
            first_line = 1 + recipe.preamble_lines
            cutter = RecordCutter(field_rule(recipe), max_record_bytes=self._limits.max_record_bytes, first_line=first_line)

            def reported() -> Iterator[Block]:
                for block in cutter.blocks(without_lines(text, recipe.preamble_lines)):
                    yield block
                    progress(source.share)

            yield reported()

    def _columns_of(self, records: list[tuple[bytes, int]]) -> list[TypedColumn]:
        rows = [split_fields(self._text(record, line), field_rule(self._recipe)) for record, line in records]
        place = Place(file=self._filename, line=records[-1][1])
        if len(rows[-1]) > self._limits.max_columns:
            message = f"the first record has {len(rows[-1])} columns, {self._limits.max_columns} are allowed"
            raise UserError("csv.too_many_columns", message, place=place)
        if not self._recipe.has_header:
            return [TypedColumn(f"column_{number}", None) for number in range(1, len(rows[-1]) + 1)]
        fields = join_header_rows(rows)
        return [TypedColumn(name, field) for name, field in zip(safe_names(fields), fields, strict=True)]

    def _text(self, record: bytes, line: int) -> str:
        try:
            return record.decode()
        except UnicodeDecodeError as error:
            place = Place(file=self._filename, line=line)
            raise UserError("csv.undecodable", f"the first record is not valid {self._recipe.encoding}", place=place) from error


def join_header_rows(rows: list[list[str]]) -> list[str]:
    """One name for each column of the last row, made of what the rows say of it, in order.

    In the rows above, an empty cell means what stands to its left: names of groups are written once.
    """
    width = len(rows[-1])
    filled = []
    for row in rows[:-1]:
        group, names = "", []
        for cell in (row + [""] * width)[:width]:
            group = cell.strip() or group
            names.append(group)
        filled.append(names)
    return [" ".join(filter(None, [*above, own])) for *above, own in zip(*filled, rows[-1], strict=True)]


def _without_header(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    for block in blocks:
        of_header = min(rows, block.record_count)
        rows -= of_header
        yield block.without(range(of_header)) if of_header else block


def _ignore(_share: float) -> None:
    """Nobody is told of the progress of a first look."""

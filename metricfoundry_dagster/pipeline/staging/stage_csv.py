"""Stages a file of delimited text: the header, the blocks, and one table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.cut_records import Block, RecordCutter
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written
from metricfoundry_dagster.pipeline.staging.read_csv_block import CsvBlockReader
from metricfoundry_dagster.pipeline.staging.rejects import Reject
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
    file = CsvFile(path, recipe, table.source, limits, block_bytes)
    return [write_blocks(lambda: file.blocks(progress), csv_reader(file, recipe), table)]


def csv_reader(file: "CsvFile", recipe: Recipe) -> CsvBlockReader:
    """A reader under the columns of the file, with the types that were asked for."""
    columns, types = file.columns(), recipe.types or {}
    fix_types(columns, types)
    require_columns(columns, types)
    return CsvBlockReader(recipe, columns)


class CsvFile:
    """A file of delimited text as blocks of records."""

    def __init__(self, path: Path, recipe: Recipe, filename: str, limits: Limits, block_bytes: int) -> None:
        self._path, self._recipe, self._filename, self._limits = path, recipe, filename, limits
        self._block_bytes = block_bytes

    def columns(self) -> list[TypedColumn]:
        """The columns that the first record names, or counts in a file without a header.

        Raises:
            UserError: `file.empty` without any record, `file.unknown_format` when the header cannot be read,
                `csv.undecodable` when it is not UTF-8, `csv.too_many_columns`.
        """
        bad: Reject | None = None
        with self._cut(min(self._block_bytes, _HEADER_BYTES), _ignore) as blocks:
            for block in blocks:
                bad = bad or next(iter(block.rejects), None)
                if block.record_count:
                    if bad and self._recipe.has_header and bad.line < block.line(0):
                        break
                    return self._columns_of(block.record(0), block.line(0))
        if bad is None:
            raise UserError("file.empty", "the file has no record", place=Place(file=self._filename))
        message = f"the first record cannot be read: {bad.reason}"
        hint = "Mend the line, or give the dialect; `metricfoundry inspect` shows what was found."
        raise UserError("file.unknown_format", message, place=Place(file=self._filename, line=bad.line), hint=hint)

    @contextmanager
    def blocks(self, progress: Callable[[float], None]) -> Iterator[Iterator[Block]]:
        """A pass over the blocks, the header left out."""
        with self._cut(self._block_bytes, progress) as blocks:
            yield _without_header(blocks) if self._recipe.has_header else blocks

    @contextmanager
    def _cut(self, block_bytes: int, progress: Callable[[float], None]) -> Iterator[Iterator[Block]]:
        recipe = self._recipe
        with UnpackedBytes(self._path, recipe.compression, filename=self._filename, limits=self._limits) as source:
            cutter = RecordCutter(delimiter=recipe.delimiter, quote=recipe.quote, max_record_bytes=self._limits.max_record_bytes)

            def reported() -> Iterator[Block]:
                for block in cutter.blocks(source.chunks(block_bytes)):
                    yield block
                    progress(source.share)

            yield reported()

    def _columns_of(self, record: bytes, line: int) -> list[TypedColumn]:
        place = Place(file=self._filename, line=line)
        try:
            text = record.decode()
        except UnicodeDecodeError as error:
            raise UserError("csv.undecodable", "the first record is not UTF-8", place=place) from error
        fields = fields_of(text, self._recipe.delimiter, self._recipe.quote)
        if len(fields) > self._limits.max_columns:
            message = f"the first record has {len(fields)} columns, {self._limits.max_columns} are allowed"
            raise UserError("csv.too_many_columns", message, place=place)
        if not self._recipe.has_header:
            return [TypedColumn(f"column_{number}", None) for number in range(1, len(fields) + 1)]
        return [TypedColumn(name, field) for name, field in zip(safe_names(fields), fields, strict=True)]


def fields_of(record: str, delimiter: str, quote: str | None) -> list[str]:
    """The fields of one well-formed record."""
    fields, start = [], 0
    while True:
        if quote is not None and record.startswith(quote, start):
            end = start + 1
            while record.startswith(quote, end := record.index(quote, end) + 1):
                end += 1  # a doubled quote, and on behind it
            fields.append(record[start + 1 : end - 1].replace(quote + quote, quote))
        else:
            end = record.find(delimiter, start)
            end = len(record) if end < 0 else end
            fields.append(record[start:end])
        if end == len(record):
            return fields
        start = end + 1


def _without_header(blocks: Iterator[Block]) -> Iterator[Block]:
    for block in blocks:
        if block.record_count:
            yield block.without([0])
            break
        yield block
    yield from blocks


def _ignore(_share: float) -> None:
    """Nobody is told of the progress of a first look."""

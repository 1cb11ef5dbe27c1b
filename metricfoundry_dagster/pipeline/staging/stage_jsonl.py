"""Stages a file of lines, each a JSON object: one table, its columns the keys in the order of their first appearance."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.child_tables import write_tables
from metricfoundry_dagster.pipeline.staging.cut_records import Block, RecordCutter
from metricfoundry_dagster.pipeline.staging.decode_text import as_utf8
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written
from metricfoundry_dagster.pipeline.staging.parse_json import LINE, BadJsonError, parse_object
from metricfoundry_dagster.pipeline.staging.read_jsonl_block import JsonReading
from metricfoundry_dagster.pipeline.staging.unpack_bytes import UnpackedBytes

_BLANKS = b" \t"


def stage_jsonl(
    path: Path, recipe: Recipe, to: Destinations, limits: Limits, progress: Callable[[float], None], *, block_bytes: int
) -> list[Written]:
    """Write the table of the file, and those of nested lists when the recipe says so.

    `progress` is told the share that has been read, in 0..1.

    Raises:
        UserError: `file.empty`, `jsonl.not_objects` when no line is an object with a key, `csv.too_many_columns`,
            `request.invalid` for impossible types, or as `UnpackedBytes.chunks`.
    """
    table = to.only()
    file = JsonlFile(path, recipe, table.source, limits, block_bytes)
    file.require_objects()
    return write_tables(lambda: file.blocks(progress), jsonl_reading(recipe, table.source, limits), table, to, block_bytes)


def jsonl_reading(recipe: Recipe, filename: str, limits: Limits) -> JsonReading:
    """How the lines are read."""
    return JsonReading(filename, limits, recipe.types or {}, recipe.flatten_depth if recipe.nested == "tables" else None)


class JsonlFile:
    """A file of lines as blocks of records; lines of blanks are none."""

    def __init__(self, path: Path, recipe: Recipe, filename: str, limits: Limits, block_bytes: int) -> None:
        self._path, self._recipe, self._filename, self._limits = path, recipe, filename, limits
        self._block_bytes = block_bytes

    @contextmanager
    def blocks(self, progress: Callable[[float], None]) -> Iterator[Iterator[Block]]:
        """A pass over the blocks."""
        with UnpackedBytes(self._path, self._recipe.compression, filename=self._filename, limits=self._limits) as source:
            cutter = RecordCutter(None, max_record_bytes=self._limits.max_record_bytes)

            def filled() -> Iterator[Block]:
                for block in cutter.blocks(as_utf8(source.chunks(self._block_bytes), self._recipe.encoding, lambda _name: None)):
                    yield _without_blanks(block)
                    progress(source.share)

            yield filled()

    def require_objects(self) -> None:
        """Raise UserError `jsonl.not_objects` unless a line is an object with a key, `file.empty` unless there is a line."""
        filled = False
        with self.blocks(lambda _share: None) as blocks:
            for block in blocks:
                filled = filled or block.record_count > 0 or bool(block.rejects)
                if any(self._has_keys(block.record(number)) for number in range(block.record_count)):
                    return
        if not filled:
            raise UserError("file.empty", "the file has no line that is not blank", place=Place(file=self._filename))
        raise UserError("jsonl.not_objects", "no line of the file is a JSON object with a key", place=Place(file=self._filename))

    def _has_keys(self, raw: bytes) -> bool:
        try:
            return bool(parse_object(raw, LINE, max_depth=self._limits.max_json_depth))
        except BadJsonError:
            return False


def _without_blanks(block: Block) -> Block:
    if not block.record_count:
        return block
    beginnings = np.frombuffer(block.text(), np.uint8)[block.text_starts()]
    doubtful = np.flatnonzero((beginnings == _BLANKS[0]) | (beginnings == _BLANKS[1])).tolist()
    blank = [number for number in doubtful if not block.record(number).strip(_BLANKS)]
    return block.without(blank) if blank else block

"""Tables of rows with the tables of the lists that lie in them: what belongs into another table waits in a file meanwhile.

A row of a child names its parent: `_parent_row` is the `_row` of the parent's table. Both count staged rows from 1.
"""

from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import BinaryIO, Self, TypeVar

import numpy as np

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.staging.cut_elements import ElementBlock
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written, failed_table
from metricfoundry_dagster.pipeline.staging.find_json_marks import positions
from metricfoundry_dagster.pipeline.staging.json_text import json_text
from metricfoundry_dagster.pipeline.staging.nested_values import Children
from metricfoundry_dagster.pipeline.staging.read_jsonl_block import JsonlBlockReader, JsonReading, ObjectBlock
from metricfoundry_dagster.pipeline.staging.typed_columns import TooNarrowError, require_columns
from metricfoundry_dagster.pipeline.staging.write_blocks import write_blocks
from metricfoundry_dagster.pipeline.staging.write_table import Destination

_PARENT_BYTES = 8
_Block = TypeVar("_Block", bound=ObjectBlock)


def write_tables(
    open_blocks: Callable[[], AbstractContextManager[Iterator[_Block]]],
    how: JsonReading,
    table: Destination,
    to: Destinations,
    block_bytes: int,
    *,
    children_left: int | None = None,
) -> list[Written]:
    """Write rows into `table`, and, when `how` says so, each list of objects in them into one named behind it.

    A child that cannot be staged has failed beside the others. `children_left` is given when these rows are children.

    Raises:
        UserError: `json.too_many_tables`, `csv.too_many_columns`, `request.invalid` for impossible types, or what opening raises.
    """
    is_child, limits = children_left is not None, how.limits
    left = limits.max_child_tables if children_left is None else children_left
    with ChildSpool(Path(mkdtemp(dir=to.scratch)), left, how) as spool:
        reader = JsonlBlockReader(how, spool if how.depth is not None else None, is_child=is_child)

        @contextmanager
        def opened() -> Iterator[Iterator[_Block]]:
            spool.restart()
            with open_blocks() as blocks:
                yield then(blocks, lambda: require_columns(reader.columns, how.types))

        written = [write_blocks(opened, reader, table)]
    for child in spool.children(block_bytes):
        destination = to.child(table, "_".join(child.path))
        below = replace(how, types={})
        left -= 1
        try:
            tables = write_tables(child.open_blocks, below, destination, to, block_bytes, children_left=left)
        except UserError as error:
            tables = [failed_table(destination.table, error)]
        written += tables
        left -= len(tables) - 1
    return written


def first_tables(
    opened: AbstractContextManager[Iterator[_Block]], how: JsonReading, name: str, block_bytes: int, *, is_child: bool = False
) -> list[tuple[str, tuple[Column, ...], bool]]:
    """The name and columns of each table that the first block of rows gives, and whether that is the whole file."""
    with TemporaryDirectory() as folder, ChildSpool(Path(folder), how.limits.max_child_tables, how) as spool, opened as blocks:
        reader = JsonlBlockReader(how, spool if how.depth is not None else None, is_child=is_child)
        first = next((block for block in blocks if block.record_count), None)
        while first is not None:
            with suppress(TooNarrowError):  # then its columns are known
                reader.read(first)
                break
        is_whole = next(blocks, None) is None
        spool.flush()
        tables = [(name, tuple(column.product() for column in reader.columns), is_whole)]
        for child in spool.children(block_bytes):
            inner = first_tables(child.open_blocks(), how, f"{name}_{'_'.join(child.path)}", block_bytes, is_child=True)
            tables += [(each, columns, is_whole and whole) for each, columns, whole in inner]
    return tables


def then(blocks: Iterator[_Block], check: Callable[[], None]) -> Iterator[_Block]:
    """The blocks, and the check behind them."""
    yield from blocks
    check()


@dataclass(frozen=True, slots=True)
class SpooledRows:
    """The rows of one child, in files: objects, one a line, and the numbers of their parents."""

    path: tuple[str, ...]
    objects: Path
    parents: Path
    block_bytes: int

    @contextmanager
    def open_blocks(self) -> Iterator[Iterator[ElementBlock]]:
        """A pass over the rows."""
        with self.objects.open("rb") as objects, self.parents.open("rb") as parents:
            yield self._blocks(objects, parents)

    def _blocks(self, objects: BinaryIO, parents: BinaryIO) -> Iterator[ElementBlock]:
        while data := objects.read(self.block_bytes):
            data += objects.readline() if not data.endswith(b"\n") else b""
            ends = positions(np.frombuffer(data, np.uint8), ord("\n"))
            starts = np.concatenate(([0], ends[:-1] + 1))
            numbers = np.frombuffer(parents.read(_PARENT_BYTES * len(ends)), np.int64)
            yield ElementBlock(data, starts, ends, numbers, parents=numbers)


class ChildSpool:
    """Files with the lists of objects of one table's rows, a pair for each path. Use it in a `with` block while rows come in."""

    def __init__(self, folder: Path, max_children: int, how: JsonReading) -> None:
        self._folder, self._max, self._filename = folder, max_children, how.filename
        self._paths: dict[tuple[str, ...], tuple[BinaryIO, BinaryIO]] = {}
        self._files = ExitStack()
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._files.close()

    def restart(self) -> None:
        """Forget everything: the rows come again."""
        self._files.close()
        self._paths, self._rows = {}, 0

    def add_rows(self, count: int, children: list[Children]) -> None:
        """Take the children of the next rows; an empty list when none of them has any."""
        for row, lists in enumerate(children, start=self._rows + 1):
            for path, values in lists:
                objects, parents = self._paths.get(path) or self._open(path)
                objects.write("".join(json_text(value) + "\n" for value in values).encode())
                parents.write(array("q", [row]) * len(values))
        self._rows += count

    def flush(self) -> None:
        """Let everything that was taken be read."""
        for pair in self._paths.values():
            for file in pair:
                file.flush()

    def children(self, block_bytes: int) -> list[SpooledRows]:
        """What was taken, in the order in which the paths came up."""
        return [SpooledRows(path, *self._names(number), block_bytes) for number, path in enumerate(self._paths)]

    def _open(self, path: tuple[str, ...]) -> tuple[BinaryIO, BinaryIO]:
        if len(self._paths) >= self._max:
            message = f"the nested values make more tables than {self._max}"
            raise UserError("json.too_many_tables", message, place=Place(file=self._filename, json_path=".".join(path)))
        objects, parents = self._names(len(self._paths))
        pair = self._files.enter_context(objects.open("wb")), self._files.enter_context(parents.open("wb"))
        self._paths[path] = pair
        return pair

    def _names(self, number: int) -> tuple[Path, Path]:
        return self._folder / f"{number}.jsonl", self._folder / f"{number}.parents"

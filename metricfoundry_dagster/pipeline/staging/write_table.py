"""Writes the staged parts of one table and its rejects: Parquet, zstd, row groups of bounded size.

Nothing becomes an object before the whole table is written, so a table that fails, or is started again with
wider types, leaves nothing behind.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metricfoundry_dagster.domain.products import ProductFile, Role, Root
from metricfoundry_dagster.pipeline.row_lines import LINES_SCHEMA, LineRuns
from metricfoundry_dagster.pipeline.staging.find_marks import Positions
from metricfoundry_dagster.pipeline.staging.rejects import REJECT_SCHEMA, Reject, rejects_table
from metricfoundry_dagster.ports.object_store import ObjectStore

ROW_GROUP_ROWS = 128 * 1024
_ROW_GROUP_BYTES = 64 * 1024**2
_PART_ROWS = 5_000_000
_PART_BYTES = 256 * 1024**2
_REJECTS_HELD = 20_000
_RUNS_HELD = 100_000
#: A column is dictionary-encoded when at most this share of its values is distinct: otherwise it costs much and saves nothing.
_DICTIONARY_SHARE = 0.3
_SAMPLE_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the files of one table go, and how its rejects name their source."""

    store: ObjectStore
    root: Root
    prefix: str
    table: str
    source: str
    max_raw_chars: int


class TableWriter:
    """Takes rows and rejects as they come. `rows_out` and `rows_rejected` count them."""

    def __init__(self, destination: Destination, schema: pa.Schema, objects: ExitStack) -> None:
        self.rows_out = self.rows_rejected = 0
        self._to, self._schema, self._objects = destination, schema, objects
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._parts: list[_OpenFile] = []
        self._dictionary_columns: list[str] | None = None
        self._rejects: list[Reject] = []
        self._rejects_file: _OpenFile | None = None
        self._runs = LineRuns()
        self._lines_file: _OpenFile | None = None

    def write(self, rows: pa.Table, lines: Positions | None = None) -> None:
        """Take rows of the table's schema, and the physical lines on which they start, if they have any."""
        self.rows_out += rows.num_rows
        if lines is not None:
            self._runs.add(lines)
            if self._runs.held >= _RUNS_HELD:
                self._write_lines()
        self._held.append(rows)
        self._held_rows += rows.num_rows
        self._held_bytes += rows.nbytes
        while self._held_rows >= ROW_GROUP_ROWS or self._held_bytes >= _ROW_GROUP_BYTES:
            self._write_row_group()

    def reject(self, rejects: Iterable[Reject]) -> None:
        """Take rejected rows."""
        for reject in rejects:
            self._rejects.append(reject)
            self.rows_rejected += 1
            if len(self._rejects) >= _REJECTS_HELD:
                self._write_rejects()

    def finish(self) -> None:
        """Write what is held. A table without rows has one part with no row in it."""
        while self._held_rows:
            self._write_row_group()
        if not self._parts:
            self._next_part()
        if self._rejects:
            self._write_rejects()
        if self._runs.held:
            self._write_lines()
        for file in self._files():
            file.close()

    def files(self) -> tuple[ProductFile, ...]:
        """The finished files, parts first."""
        return tuple(file.product(self._to) for file in self._files())

    def _files(self) -> list["_OpenFile"]:
        return self._parts + [file for file in (self._rejects_file, self._lines_file) if file]

    def _write_row_group(self) -> None:
        table = pa.concat_tables(self._held)
        group, rest = table[:ROW_GROUP_ROWS], table[ROW_GROUP_ROWS:]
        if self._dictionary_columns is None:
            self._dictionary_columns = _repetitive_columns(group)
        part = self._parts[-1] if self._parts and not self._parts[-1].full else self._next_part()
        part.write(group)
        self._held = [rest] if rest.num_rows else []
        self._held_rows, self._held_bytes = rest.num_rows, rest.nbytes

    def _next_part(self) -> "_OpenFile":
        if self._parts:
            self._parts[-1].close()
        key = f"{self._to.prefix}{self._to.table}/part-{len(self._parts):05d}.parquet"
        part = self._open(key, "part", self._schema, self._dictionary_columns or [])
        self._parts.append(part)
        return part

    def _write_rejects(self) -> None:
        if self._rejects_file is None:
            key = f"{self._to.prefix}rejects/{self._to.table}.parquet"
            self._rejects_file = self._open(key, "rejects", REJECT_SCHEMA, ["source", "code", "reason"])
        self._rejects_file.write(rejects_table(self._rejects, self._to.source, self._to.max_raw_chars))
        self._rejects = []

    def _write_lines(self) -> None:
        if self._lines_file is None:
            self._lines_file = self._open(f"{self._to.prefix}lines/{self._to.table}.parquet", "lines", LINES_SCHEMA, [])
        self._lines_file.write(self._runs.take())

    def _open(self, key: str, role: Role, schema: pa.Schema, dictionary_columns: list[str]) -> "_OpenFile":
        path = self._objects.enter_context(self._to.store.create(self._to.root, key))
        writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=dictionary_columns)
        return _OpenFile(key, role, path, self._objects.enter_context(writer))


class _OpenFile:
    """One Parquet file that is being written."""

    def __init__(self, key: str, role: Role, path: Path, writer: pq.ParquetWriter) -> None:
        self._key, self._role, self._path, self._writer = key, role, path, writer
        self._rows = self._size_bytes = 0

    @property
    def full(self) -> bool:
        return self._rows >= _PART_ROWS or self._path.stat().st_size >= _PART_BYTES

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self._rows += rows.num_rows

    def close(self) -> None:
        self._writer.close()
        self._size_bytes = self._path.stat().st_size

    def product(self, to: Destination) -> ProductFile:
        return ProductFile(to.root, self._key, self._role, to.table, self._rows, self._size_bytes)


@contextmanager
def open_table(destination: Destination, schema: pa.Schema) -> Iterator[TableWriter]:
    """A writer whose files become objects on leaving, all or, after an exception, none."""
    with ExitStack() as objects:
        yield TableWriter(destination, schema, objects)


def _repetitive_columns(rows: pa.Table) -> list[str]:
    sample = rows[:_SAMPLE_ROWS]
    names = []
    for name, column in zip(sample.column_names, sample.columns, strict=True):
        distinct = pc.count_distinct(column).as_py() if not pa.types.is_nested(column.type) else len(column)
        if distinct <= _DICTIONARY_SHARE * len(column):
            names.append(name)
    return names

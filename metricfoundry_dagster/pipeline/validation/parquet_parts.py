"""Reading the parts of a staged table in batches, and writing Parquet objects that exist only if something was written.

What is read or written means nothing here.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from metricfoundry_dagster.domain.errors import InternalError, Place
from metricfoundry_dagster.domain.products import ProductFile, Role, Root
from metricfoundry_dagster.ports.object_store import ObjectStore

ROW_GROUP_ROWS = 128 * 1024


@contextmanager
def open_part(part: ProductFile, store: ObjectStore) -> Iterator[pq.ParquetFile]:
    """A part as a Parquet file. Raises InternalError when it does not have the rows that its stage counted."""
    with (
        store.local(part.root, part.key) as path,
        pq.ParquetFile(path, pre_buffer=False) as file,
    ):  # buffering ahead doubles the memory
        if part.rows is not None and file.metadata.num_rows != part.rows:
            message = f"{part.key} has {file.metadata.num_rows} rows, but {part.rows} were staged"
            raise InternalError("validation.out_of_balance", message, place=Place(table=part.table))
        yield file


def batches(file: pq.ParquetFile, names: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The named columns, in that order, in batches of at most so many rows; batches without columns still have rows."""
    for batch in file.iter_batches(batch_rows, columns=list(names)):
        # Reading takes a name with a dot for a path as well, and may bring more than was asked for.
        yield batch.select(list(names)) if names else batch


class ParquetObject:
    """A Parquet file that becomes an object of the store on leaving a `with` block, if anything was written to it."""

    def __init__(self, store: ObjectStore, key: str, schema: pa.Schema) -> None:
        self._store, self._key, self._schema = store, key, schema
        self._resources = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._path = Path()
        self._size_bytes = 0
        self.rows = 0

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Append rows of the schema; none at all still make the file."""
        if self._writer is None:
            self._path = self._resources.enter_context(self._store.create(Root.ARTIFACTS, self._key))
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
        if table.num_rows:
            self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self.rows += table.num_rows

    def as_files(self, role: Role, table: str) -> tuple[ProductFile, ...]:
        """The file, after the `with` block; nothing when nothing was written."""
        if self._writer is None:
            return ()
        return (ProductFile(Root.ARTIFACTS, self._key, role, table, self.rows, self._size_bytes),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._writer is not None and error is None:
            self._writer.close()
            self._size_bytes = self._path.stat().st_size
        self._resources.__exit__(kind, error, traceback)

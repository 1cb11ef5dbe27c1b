"""Reads rows of an SQLite table as Arrow, under the storage classes that were decided on, with bounded memory.

The driver infers types from its first batch and converts in silence: so a first row of known types goes before all others
and is taken off again, and conditions keep out what it would convert.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import adbc_driver_manager
import adbc_driver_sqlite
import pyarrow as pa

from metricfoundry_dagster.pipeline.staging.sqlite_columns import SqlitePlan, Storage
from metricfoundry_dagster.pipeline.staging.sqlite_file import SqliteTable, read_only_uri

#: What the driver raises for a file or value that it cannot read.
DRIVER_ERRORS = (adbc_driver_manager.Error, OSError, pa.ArrowException)
_TYPES = {Storage.INTEGER: pa.int64(), Storage.REAL: pa.float64(), Storage.TEXT: pa.string(), Storage.BLOB: pa.binary()}
_FIRST_VALUES = {Storage.INTEGER: "0", Storage.REAL: "0.5", Storage.TEXT: "''", Storage.BLOB: "x''"}
_MOST_ROWS = 50_000
_ENOUGH_ROWS, _ENOUGH_BYTES = 2_000, 8 * 1024**2
#: More result columns than that SQLite does not give.
_MOST_RESULT_COLUMNS = 2_000


class OtherTypesError(Exception):
    """The values are not of the storage classes that were assumed."""


class SqliteBatches:
    """Connections of the driver, one for each file, which are closed on leaving."""

    def __init__(self) -> None:
        self._open: dict[Path, adbc_driver_manager.AdbcConnection] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def read(
        self, table: SqliteTable, plans: Sequence[SqlitePlan], where: str, *, rowids: bool, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Batches whose columns are what each plan selects, in order, with the rowids last if they are asked for.

        Raises:
            OtherTypesError: a value is not of the storage class of its plan.
            adbc_driver_manager.Error, OSError: the table cannot be read.
        """
        selected = [part for plan in plans for part in plan.selected()]
        rowids = rowids and table.rowid is not None and len(selected) < _MOST_RESULT_COLUMNS
        if rowids or not selected:
            selected.append((Storage.INTEGER, (table.rowid or "0") if rowids else "0"))
        schema = pa.schema([(f"x{number}", _TYPES[storage]) for number, (storage, _sql) in enumerate(selected)])
        firsts = ", ".join(f"{_FIRST_VALUES[storage]} AS x{number}" for number, (storage, _sql) in enumerate(selected))
        columns = ", ".join(sql for _storage, sql in selected)
        query = f"SELECT {firsts} UNION ALL SELECT {columns} FROM {table.reference} NOT INDEXED WHERE {where}"  # noqa: S608 - names are quoted
        with adbc_driver_manager.AdbcStatement(self._connection(table.path)) as statement:
            statement.set_options(**{adbc_driver_sqlite.StatementOptions.BATCH_ROWS.value: str(batch_rows)})
            statement.set_sql_query(query)
            stream, _rows = statement.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as batches:
                yield from _gathered(_without_first(_as_declared(batches, schema)))

    def _connection(self, path: Path) -> adbc_driver_manager.AdbcConnection:
        if path not in self._open:
            database = self._stack.enter_context(adbc_driver_sqlite.connect(read_only_uri(path)))
            connection = self._stack.enter_context(adbc_driver_manager.AdbcConnection(database))
            for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON"):
                with adbc_driver_manager.AdbcStatement(connection) as statement:
                    statement.set_sql_query(f"PRAGMA {pragma}")
                    statement.execute_update()
            self._open[path] = connection
        return self._open[path]


def rows_per_batch(row_bytes: int, block_bytes: int) -> int:
    """So many rows that a batch of them has about `block_bytes`, if each is as long as the longest."""
    return max(1, min(_MOST_ROWS, block_bytes // max(row_bytes, 1)))


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Larger batches where they are small because one row in many is long."""
    held: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for batch in batches:
        held.append(batch)
        rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        if rows >= _ENOUGH_ROWS or size_bytes >= _ENOUGH_BYTES:
            yield pa.concat_batches(held) if len(held) > 1 else batch
            held, rows, size_bytes = [], 0, 0
    if held:
        yield pa.concat_batches(held)


def _as_declared(batches: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if not batches.schema.equals(schema):
        raise OtherTypesError
    while True:
        try:
            batch = next(batches, None)
        except OSError as error:
            if "Type mismatch" in str(error):
                raise OtherTypesError from error
            raise
        if batch is None:
            return
        yield batch


def _without_first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = True
    for batch in batches:
        rest = batch.slice(1) if first and batch.num_rows else batch
        first = first and not batch.num_rows
        if rest.num_rows:
            yield rest

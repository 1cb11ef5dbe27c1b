"""Makes SQLite files and stages all their tables in one call."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import TableProduct
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import read_back, stage_into_store


@dataclass(frozen=True)
class StagedTable:
    """One table of a staged file, with its rows and rejects as they were read back."""

    product: TableProduct
    table: pa.Table
    rejects: list[dict[str, Any]]

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.product.columns}

    def column(self, name: str) -> list[Any]:
        values: list[Any] = self.table.column(name).to_pylist()
        return values


def sqlite_bytes(*statements: str, fill: Callable[[sqlite3.Connection], object] | None = None) -> bytes:
    """A database made by these statements."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.db")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.execute("BEGIN")
            if fill is not None:
                fill(connection)
            connection.execute("COMMIT")
        return path.read_bytes()


def column_of(values: Iterable[Any], declared: str = "") -> bytes:
    """A database with one table `t` of one column `c`."""
    rows = [(value,) for value in values]
    return sqlite_bytes(f"CREATE TABLE t (c {declared})", fill=lambda made: made.executemany("INSERT INTO t VALUES (?)", rows))


def stage_tables(
    content: bytes, filename: str = "t.sqlite", *, limits: Limits | None = None, block_bytes: int = 8 * 1024**2, **overrides: Any
) -> dict[str, StagedTable]:
    """Every table by its name. The ledger of each is checked against the files that were written."""
    staged, store = stage_into_store(content, filename, block_bytes=block_bytes, limits=limits, **overrides)
    tables = {}
    for product in staged.tables:
        parts = [read_back(store, file) for file in staged.files if (file.table, file.role) == (product.name, "part")]
        rejects = [read_back(store, file) for file in staged.files if (file.table, file.role) == (product.name, "rejects")]
        rejected = [row for each in rejects for row in each.to_pylist()]
        table = pa.concat_tables(parts) if parts else pa.table({})
        assert product.balances
        assert (table.num_rows, len(rejected)) == (product.rows_out, product.rows_rejected)
        assert [str(field.type) for field in table.schema] == [column.type for column in product.columns]
        tables[product.name] = StagedTable(product, table, rejected)
    assert {file.key for file in staged.files} == {key for _root, key in store.objects}
    return tables


def staged_column(values: Iterable[Any], declared: str = "", **overrides: Any) -> StagedTable:
    """The one column `c` of a table with these values."""
    return stage_tables(column_of(values, declared), **overrides)["t"]

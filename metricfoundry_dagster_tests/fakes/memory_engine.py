"""A serving engine that reads the rows into memory and answers with SQLite: SQL enough for tests, and none of DuckDB."""

import sqlite3
from collections.abc import Iterable, Sequence

import pyarrow.parquet as pq

from metricfoundry_dagster.domain.errors import MetricFoundryError, UserError
from metricfoundry_dagster.domain.served import QueryAnswer, Servable, Serving, Version
from metricfoundry_dagster.ports.catalog import Versions
from metricfoundry_dagster.ports.clock import Clock
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.ports.serving_engine import ServingEngine

Row = dict[str, object]
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


class MemoryEngine(ServingEngine):
    """`lost_rows` many rows of each table are missing when it counts."""

    def __init__(self, catalog: Versions, store: ObjectStore, clock: Clock, *, lost_rows: int = 0) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self.lost_rows = lost_rows

    def serve_all(self, servables: Sequence[Servable]) -> list[Serving | MetricFoundryError]:
        outcomes = self._catalog.add_versions(servables, self._clock.now())
        return [
            outcome if isinstance(outcome, MetricFoundryError) else Serving(servable, *outcome)
            for servable, outcome in zip(servables, outcomes, strict=True)
        ]

    def count_all(self, servings: Sequence[Serving]) -> list[dict[str, int]]:
        return [
            {table.name: len(self._rows([own], table.name)) - self.lost_rows for table in own.tables}
            for own in (serving.servable for serving in servings)
        ]

    def rollback(self, datasource: str) -> Version:
        return self._catalog.step_back(datasource)

    def current(self, datasource: str) -> Version | None:
        return self._catalog.current_version(datasource)

    def versions(self, datasource: str) -> list[Version]:
        return self._catalog.versions(datasource)

    def query(self, sql: str, max_rows: int) -> QueryAnswer:
        connection = sqlite3.connect(":memory:")
        try:
            for version in self._catalog.current_versions():
                for name in dict.fromkeys(table.name for member in version.members for table in member.tables):
                    _fill(connection, name, self._rows(version.members, name))
            connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)
            cursor = connection.execute(sql)
            rows = cursor.fetchmany(max_rows + 1)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise UserError("query.invalid", str(error)) from error
        finally:
            connection.close()
        if cursor.description is None:
            raise UserError("query.invalid", "there is no statement")
        if len(rows) > max_rows:
            raise UserError("query.too_many_rows", f"the answer has more than {max_rows:,} rows")
        columns = tuple(str(described[0]) for described in cursor.description)
        return QueryAnswer(columns, ("ANY",) * len(columns), rows)

    def _rows(self, members: Iterable[Servable], name: str) -> list[Row]:
        rows: list[Row] = []
        for member in members:
            for file in (file for table in member.tables if table.name == name for file in table.files):
                with self._store.local(file.root, file.key) as path:
                    rows += [{**row, "_dataset_id": member.dataset_id} for row in pq.read_table(path).to_pylist()]
        return rows


def _fill(connection: sqlite3.Connection, name: str, rows: list[Row]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row)) or ["_dataset_id"]
    quoted = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
    connection.execute(f'CREATE TABLE "{name}" ({quoted})')
    marks = ", ".join("?" * len(columns))
    insert = f'INSERT INTO "{name}" VALUES ({marks})'
    connection.executemany(insert, [tuple(row.get(column) for column in columns) for row in rows])

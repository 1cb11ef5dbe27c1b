"""An engine under test, and the datasets that it is given to serve."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metricfoundry_dagster.domain.datasets import Mode, dataset_id_of
from metricfoundry_dagster.domain.layout import attempt_prefix
from metricfoundry_dagster.domain.products import Column, ProductFile, Root, Stage
from metricfoundry_dagster.domain.served import Servable, ServedTable, served_name
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.ports.serving_engine import ServingEngine


@dataclass(frozen=True)
class Served:
    """An engine, and the store from which it serves. In Druid a table without rows is not there."""

    engine: ServingEngine
    store: ObjectStore
    keeps_empty_tables: bool = True

    def servable(
        self,
        tables: dict[str, pa.Table],
        *,
        datasource: str = "sales",
        sequence: int = 1,
        attempt: int = 1,
        mode: Mode = Mode.REPLACE,
        claimed_rows: int | None = None,
        time_column: str | None = None,
        rows_per_file: int = 3,
    ) -> Servable:
        """A dataset of its own for each sequence, its tables written in parts of few rows."""
        dataset_id = dataset_id_of(datasource, "test", str(sequence))
        prefix = attempt_prefix(Stage.VALIDATED_FRAME, dataset_id, attempt)
        served = []
        for name, table in tables.items():
            columns = tuple(Column(field.name, field.name, str(field.type), field.nullable) for field in table.schema)
            starts = range(0, max(table.num_rows, 1), rows_per_file)
            files = tuple(
                self._write(f"{prefix}{name}/part-{start:05}.parquet", name, table[start : start + rows_per_file])
                for start in starts
            )
            rows = table.num_rows if claimed_rows is None else claimed_rows
            served.append(ServedTable(served_name(datasource, name, len(tables)), columns, files, rows, time_column))
        return Servable(datasource, mode, dataset_id, sequence, attempt, tuple(served))

    def column(self, sql: str) -> list[object]:
        """The first column of the answer."""
        return [row[0] for row in self.engine.query(sql, 1_000).rows]

    def sorted_column(self, sql: str) -> list[Any]:
        """The first column of the answer, numbers or texts, in order: not every engine sorts by any column."""
        values: list[Any] = self.column(sql)
        return sorted(values)

    def _write(self, key: str, table: str, part: pa.Table) -> ProductFile:
        with self.store.create(Root.ARTIFACTS, key) as path:
            pq.write_table(part, path)
            size_bytes = path.stat().st_size
        return ProductFile(Root.ARTIFACTS, key, "part", table, part.num_rows, size_bytes)

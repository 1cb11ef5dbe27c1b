"""Tables written to Parquet as tests want them, and their reports. Assertions belong to the tests."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metricfoundry_dagster.pipeline.profiling.profile_tables import profile_tables
from metricfoundry_dagster.pipeline.profiling.report import ColumnReport, Report, ReportSubject, TableReport

AT = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


def write_parts(folder: Path, table: pa.Table, *, parts: int = 1, row_group_rows: int = 1_000_000) -> list[Path]:
    """The table cut into so many parts, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-table.num_rows // parts) or 1
    paths = []
    for number in range(parts):
        path = folder / f"part-{number:05}.parquet"
        pq.write_table(table.slice(number * size, size), path, row_group_size=row_group_rows)
        paths.append(path)
    return paths


def report_of(paths: list[Path], *, name: str = "t", file: str = "file.csv") -> Report:
    """The report of one table."""
    return profile_tables({name: paths}, subject=ReportSubject(file), created_at=AT)


def table_report(
    folder: Path, columns: dict[str, Any] | pa.Table, *, parts: int = 1, row_group_rows: int = 1_000_000
) -> TableReport:
    """Write the columns and profile them."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    return report_of(write_parts(folder, table, parts=parts, row_group_rows=row_group_rows)).tables[0]


def column_report(folder: Path, values: Any, *, parts: int = 1) -> ColumnReport:
    """Write one column and profile it."""
    return table_report(folder, {"c": values}, parts=parts).columns[0]

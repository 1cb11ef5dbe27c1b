"""Paths of Parquet files in, a `Report` out. Pure: knows no store, no catalog and no contract.

Memory: one column at a time. A column of numbers or times costs 8 bytes a row for its values and up to 16 while
they are sorted and counted; text that repeats costs 4 bytes a row and its distinct values, text that does not 8
bytes a row and up to 16 while sorting. On top of it lie 8 bytes a row for the row hashes, until a column is found
whose values are unique: no row can be a duplicate then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from metricfoundry_dagster.pipeline.profiling.describe_columns import describe_column, share
from metricfoundry_dagster.pipeline.profiling.find_duplicates import Duplicates, RowHashes, find_duplicates
from metricfoundry_dagster.pipeline.profiling.judge_report import judge_tables
from metricfoundry_dagster.pipeline.profiling.read_columns import TableFiles
from metricfoundry_dagster.pipeline.profiling.report import ColumnReport, Report, ReportSubject, TableLedger, TableReport

OnColumn = Callable[[float, str], None]


def profile_tables(
    tables: Mapping[str, Sequence[Path]],
    *,
    subject: ReportSubject,
    created_at: datetime,
    ledger: Sequence[TableLedger] = (),
    on_column: OnColumn | None = None,
) -> Report:
    """Profile every table. `tables` maps a name to its Parquet parts, in the order of their rows.

    `on_column` is told the share that is done, in 0..1, and the column about to be counted. A table without
    parts has no rows and no columns. Without a `ledger` only the reported rows are known.

    Raises:
        OSError, ArrowInvalid: a part is missing or cannot be read.
    """
    reports = []
    for position, (name, paths) in enumerate(tables.items()):
        progress = _Progress(on_column, position / len(tables), 1 / len(tables))
        with TableFiles(paths) as files:
            reports.append(_profile_table(name, files, progress))
    lines = tuple(ledger) or tuple(TableLedger(t.name, None, None, None, None, None, reported=t.rows) for t in reports)
    return Report(subject, created_at, tuple(reports), lines, judge_tables(reports))


@dataclass(frozen=True, slots=True)
class _Progress:
    on_column: OnColumn | None
    start: float
    width: float

    def tell(self, share_of_table: float, column: str) -> None:
        if self.on_column is not None:
            self.on_column(self.start + self.width * share_of_table, column)


def _profile_table(name: str, files: TableFiles, progress: _Progress) -> TableReport:
    hashes: RowHashes | None = RowHashes(files.rows)
    columns: list[ColumnReport] = []
    for position, column in enumerate(files.schema.names):
        progress.tell(position / len(files.schema.names), column)
        columns.append(describe_column(files, column, hashes))
        if columns[-1].is_unique:
            hashes = None
    duplicates = find_duplicates(files, hashes) if hashes is not None and columns else Duplicates(rows=0)
    missing = sum(column.missing for column in columns)
    return TableReport(
        name=name,
        rows=files.rows,
        size_bytes=files.size_bytes,
        duplicate_rows=duplicates.rows,
        duplicate_share=share(duplicates.rows, files.rows),
        duplicate_examples=duplicates.examples,
        missing=missing,
        missing_share=share(missing, files.rows * len(columns)),
        columns=tuple(columns),
    )

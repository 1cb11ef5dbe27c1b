"""Judgements on profiled numbers: hints, warnings, the thresholds of a contract, and volume against history.

Findings are values; only a broken threshold closes the gate. Which rows are bad is validation's business.
"""

import statistics
from collections.abc import Iterator, Sequence

from metricfoundry_dagster.domain.contracts import Contract
from metricfoundry_dagster.domain.errors import ErrorRecord, Place, UserError
from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.pipeline.profiling.report import ColumnReport, Report, TableReport

#: Share of missing values from which a column is worth a warning.
HIGH_MISSING_SHARE = 0.5
#: Volume is unusual outside of the median of the history, divided and multiplied by this ...
VOLUME_FACTOR = 3
#: ... once there are this many earlier datasets.
ENOUGH_HISTORY = 3


def judge_tables(tables: Sequence[TableReport]) -> tuple[Finding, ...]:
    """What the numbers alone say, warnings first."""
    findings = [finding for table in tables for finding in (*_judge_rows(table), *_judge_columns(table))]
    return tuple(sorted(findings, key=lambda finding: finding.severity is Severity.INFO))


def judge_thresholds(report: Report, contract: Contract) -> tuple[Finding, ...]:
    """Thresholds of the contract that a table breaks. Blanks count as missing, like nulls."""
    rules = {rule.name: rule.max_null_share for rule in contract.columns if rule.max_null_share is not None}
    findings = []
    for table in report.tables:
        limit = contract.max_duplicate_share
        if limit is not None and table.duplicate_share > limit:
            what = f"{table.duplicate_share:.2%} of the rows of {table.name} repeat an earlier row, {limit:.2%} may"
            findings.append(_broken(what, table, None, table.duplicate_rows))
        for column in table.columns:
            limit = rules.get(column.name)
            if limit is not None and column.missing_share > limit:
                what = f"{column.missing_share:.2%} of {table.name}.{column.name} is missing, {limit:.2%} may be"
                findings.append(_broken(what, table, column.name, column.missing))
    return tuple(findings)


def judge_volume(rows: int, history: Sequence[int]) -> tuple[Finding, ...]:
    """A warning when there are far more or fewer rows than in earlier datasets of the datasource."""
    if len(history) < ENOUGH_HISTORY:
        return ()
    median = statistics.median(history)
    if median / VOLUME_FACTOR <= rows <= median * VOLUME_FACTOR:
        return ()
    message = f"{rows:,} rows, where the last {len(history)} datasets had {median:,.0f} in the median"
    return (Finding("volume.unusual", Severity.WARN, message, count=rows),)


def gate_error(broken: Sequence[Finding]) -> ErrorRecord | None:
    """The error that closes the gate, None when no threshold is broken."""
    if not broken:
        return None
    place = Place(table=broken[0].table, column=broken[0].column)
    message = "; ".join(finding.message for finding in broken[:10])
    return UserError("contract.threshold_broken", message, place=place).record


def _judge_rows(table: TableReport) -> Iterator[Finding]:
    if table.duplicate_rows:
        yield Finding(
            "profile.duplicate_rows",
            Severity.WARN,
            f"{table.duplicate_rows:,} of {table.rows:,} rows repeat an earlier row",
            table.name,
            count=table.duplicate_rows,
            examples=tuple({"row": example.row, "repeats": example.repeats} for example in table.duplicate_examples),
        )


def _judge_columns(table: TableReport) -> Iterator[Finding]:
    for column in table.columns:
        if table.rows and column.missing_share >= HIGH_MISSING_SHARE:
            message = f"{column.missing_share:.0%} of the values are missing"
            yield _about(table, column, "profile.high_missing_share", Severity.WARN, message, column.missing)
        if column.is_constant:
            message = "every row has the same value"
            yield _about(table, column, "profile.constant", Severity.INFO, message, table.rows)
        if _could_be_key(table, column):
            message = "every row has a value of its own: this could be a key"
            yield _about(table, column, "profile.unique_key", Severity.INFO, message, table.rows)
        not_finite = (column.nan or 0) + (column.positive_infinity or 0) + (column.negative_infinity or 0)
        if not_finite:
            message = f"{not_finite:,} values are NaN or infinite, and left out of the other numbers"
            yield _about(table, column, "profile.not_finite", Severity.INFO, message, not_finite)


def _could_be_key(table: TableReport, column: ColumnReport) -> bool:
    # Measurements are unique by chance.
    measured = column.type in {"halffloat", "float", "double"} or column.kind == "other"
    return table.rows > 1 and column.is_unique and not measured


def _about(table: TableReport, column: ColumnReport, code: str, severity: Severity, message: str, count: int) -> Finding:
    return Finding(code, severity, message, table.name, column.name, count)


def _broken(message: str, table: TableReport, column: str | None, count: int) -> Finding:
    return Finding("contract.threshold_broken", Severity.ERROR, message, table.name, column, count)

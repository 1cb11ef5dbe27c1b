"""Findings and thresholds: what warns, what closes the gate."""

from pathlib import Path

import pyarrow as pa
import pytest

from metricfoundry_dagster.domain.contracts import ColumnRule, Contract
from metricfoundry_dagster.domain.findings import Severity
from metricfoundry_dagster.pipeline.profiling.judge_report import gate_error, judge_thresholds, judge_volume
from metricfoundry_dagster.pipeline.profiling.report import Report
from metricfoundry_dagster_tests.pipeline.profiling.written_tables import report_of, write_parts


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A key, a constant, a mostly missing column, NaN, and no duplicate row."""
    table = pa.table(
        {
            "id": [1, 2, 3, 4],
            "same": ["x"] * 4,
            "gaps": pa.array([None, " ", "a", "b"]),
            "measured": [0.5, float("nan"), float("inf"), 2.5],
        }
    )
    return report_of(write_parts(tmp_path, table))


def test_hints_and_warnings_have_stable_codes(report: Report) -> None:
    found = [(finding.code, finding.severity, finding.column, finding.count) for finding in report.findings]
    assert found == [
        ("profile.high_missing_share", Severity.WARN, "gaps", 2),
        ("profile.unique_key", Severity.INFO, "id", 4),
        ("profile.constant", Severity.INFO, "same", 4),
        ("profile.not_finite", Severity.INFO, "measured", 2),
    ]


def test_duplicate_rows_are_a_warning_with_examples(tmp_path: Path) -> None:
    report = report_of(write_parts(tmp_path, pa.table({"a": [1, 2, 1, 1]})))
    finding = report.findings[0]
    assert (finding.code, finding.severity, finding.count) == ("profile.duplicate_rows", Severity.WARN, 2)
    assert finding.examples == ({"row": 3, "repeats": 1}, {"row": 4, "repeats": 1})


@pytest.mark.parametrize(("limit", "broken"), [(0.49, True), (0.5, False)])
def test_blanks_count_for_the_limit_of_nulls(report: Report, limit: float, *, broken: bool) -> None:
    contract = Contract("c", columns=(ColumnRule("gaps", max_null_share=limit), ColumnRule("id", max_null_share=0.0)))
    findings = judge_thresholds(report, contract)
    assert bool(findings) is broken
    error = gate_error(findings)
    assert (error is not None) is broken
    if error is not None:
        assert (error.code, error.place.table, error.place.column) == ("contract.threshold_broken", "t", "gaps")
        assert "50.00%" in error.message


@pytest.mark.parametrize(("limit", "broken"), [(0.4, True), (0.5, False), (None, False)])
def test_duplicates_have_a_limit_of_their_own(tmp_path: Path, limit: float | None, *, broken: bool) -> None:
    report = report_of(write_parts(tmp_path, pa.table({"a": [1, 1]})))
    assert bool(judge_thresholds(report, Contract("c", max_duplicate_share=limit))) is broken


@pytest.mark.parametrize(
    ("rows", "history", "unusual"),
    [
        (33, [100, 100, 100], True),
        (34, [100, 100, 100], False),
        (300, [100, 90, 400, 100], False),
        (301, [100, 100, 100], True),
        (10_000, [1, 1], False),
        (5, [0, 0, 0], True),
    ],
)
def test_volume_is_held_against_the_median_of_at_least_three(rows: int, history: list[int], *, unusual: bool) -> None:
    findings = judge_volume(rows, history)
    assert [finding.code for finding in findings] == ["volume.unusual"] * unusual
    assert all(finding.severity is Severity.WARN for finding in findings)

"""Every error of ours has an exit code that says whose it was."""

from collections.abc import Iterator

import pytest

from metricfoundry_dagster.cli.exit_codes import exit_code_of, exit_code_of_record, worst
from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster.domain.errors import (
    ErrorRecord,
    InternalError,
    MetricFoundryError,
    Place,
    SettingsError,
    UserError,
    WorldError,
    record_of,
)

BRANCHES = {SettingsError: 2, UserError: 3, WorldError: 4, InternalError: 70}


def every_kind(kind: type[MetricFoundryError] = MetricFoundryError) -> Iterator[type[MetricFoundryError]]:
    for each in kind.__subclasses__():
        yield each
        yield from every_kind(each)


@pytest.mark.parametrize("kind", sorted(every_kind(), key=str))
def test_each_class_of_the_tree_has_the_exit_code_of_its_branch(kind: type[MetricFoundryError]) -> None:
    expected = next(code for branch, code in BRANCHES.items() if issubclass(kind, branch))
    assert exit_code_of(kind("unexpected", "x")) == expected


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), RecursionError()])
def test_what_nobody_foresaw_is_ours(error: Exception) -> None:
    assert exit_code_of(error) == 70
    assert record_of(error).code == "unexpected"


def test_the_text_of_an_unforeseen_error_is_not_repeated() -> None:
    """It may hold anything, such as a password in an address."""
    assert "hunter2" not in record_of(ValueError("hunter2")).message


@pytest.mark.parametrize("code", ERROR_CODES)
def test_each_code_that_was_kept_has_the_exit_code_of_its_branch(code: str) -> None:
    expected = {"user": 3, "row": 3, "world": 4, "internal": 70}[ERROR_CODES[code].branch]
    assert exit_code_of_record(ErrorRecord(code, "x", Place(), "x")) == expected


def test_no_error_is_zero() -> None:
    assert exit_code_of_record(None) == 0


def test_the_gravest_code_wins() -> None:
    assert [worst([]), worst([0, 3]), worst([4, 3]), worst([3, 70, 4])] == [0, 3, 4, 70]

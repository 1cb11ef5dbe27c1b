"""How our errors look to Dagster: every class of the tree is translated."""

from collections.abc import Iterator

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.backoff import backoff_seconds
from metricfoundry_dagster.domain.errors import ErrorRecord, MetricFoundryError, WorldError
from metricfoundry_dagster.orchestration.failures import translated_to_dagster
from metricfoundry_dagster.orchestration.process_settings import process_settings


def _tree(kind: type[MetricFoundryError]) -> Iterator[type[MetricFoundryError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


@pytest.mark.parametrize("kind", [kind for kind in _tree(MetricFoundryError) if not issubclass(kind, WorldError)])
def test_all_but_the_worlds_errors_fail_without_a_retry(kind: type[MetricFoundryError]) -> None:
    """With code and hint for the reader, and the job is given up."""
    told: list[ErrorRecord] = []
    with pytest.raises(dg.Failure, match="unexpected") as caught, translated_to_dagster(0, told.append):
        raise kind("unexpected", "something")
    assert [record.message for record in told] == ["something"]
    assert caught.value.allow_retries is False
    assert {"code", "hint"} <= set(caught.value.metadata)


def test_the_worlds_errors_are_retried_and_then_fail() -> None:
    """As often as the setting says; only then the job is given up."""
    told: list[ErrorRecord] = []
    retries = process_settings().world_retries
    with pytest.raises(dg.RetryRequested) as asked, translated_to_dagster(retries - 1, told.append):
        raise WorldError("store.unreachable", "away")
    assert (asked.value.max_retries, told) == (retries, [])
    with pytest.raises(dg.Failure, match=r"store\.unreachable"), translated_to_dagster(retries, told.append):
        raise WorldError("store.unreachable", "away")
    assert [record.code for record in told] == ["store.unreachable"]


def test_a_stranger_passes_through_and_the_job_keeps_its_kind_alone() -> None:
    """A bug keeps its own traceback; its text may hold anything."""
    told: list[ErrorRecord] = []
    with pytest.raises(KeyError, match="s3cret"), translated_to_dagster(0, told.append):
        raise KeyError("s3cret")
    [record] = told
    assert (record.code, "KeyError" in record.message, "s3cret" in str(record)) == ("unexpected", True, False)


def test_a_catalog_that_is_away_does_not_hide_the_first_error() -> None:
    """A sensor closes the job later."""

    def give_up(_record: ErrorRecord) -> None:
        raise WorldError("catalog.unreachable", "away")

    with pytest.raises(dg.Failure, match="unexpected"), translated_to_dagster(0, give_up):
        raise MetricFoundryError("unexpected", "first")


@given(retry_number=st.integers(0, 60), base_seconds=st.floats(0.01, 10))
def test_the_wait_is_bounded(retry_number: int, base_seconds: float) -> None:
    """Never at once, never more than a minute."""
    assert 0.1 <= backoff_seconds(retry_number, base_seconds) <= 60

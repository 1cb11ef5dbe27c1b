"""What is recorded of a published stage, and who may no longer publish."""

from dataclasses import replace

import pytest

from metricfoundry_dagster.domain.errors import FencedError, NotFoundError
from metricfoundry_dagster.domain.jobs import MILESTONES_PERCENT, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.catalog import Catalog, StageRecord
from metricfoundry_dagster_tests.port_contracts.catalog.samples import LATER, NOON, begun, new_dataset, product, registered

STAGED = Stage.STAGED_PARQUET


def test_a_published_stage_is_recorded(catalog: Catalog) -> None:
    attempt = begun(catalog, registered(catalog))
    dataset_id = attempt.dataset.dataset_id
    assert catalog.stage(dataset_id, STAGED) is None
    catalog.publish(product(attempt, rows=5, rejected=2), attempt.job.job_id, LATER)
    expected = StageRecord(
        dataset_id, STAGED, 1, attempt.job.job_id, passed=True, rows_out=5, rows_rejected=2, published_at=LATER
    )
    assert catalog.stage(dataset_id, STAGED) == expected
    assert catalog.stage(dataset_id, Stage.VALIDATED_FRAME) is None


@pytest.mark.parametrize("stage", Stage)
def test_a_passed_gate_brings_the_job_to_its_milestone(catalog: Catalog, stage: Stage) -> None:
    attempt = begun(catalog, registered(catalog))
    catalog.publish(product(attempt, stage), attempt.job.job_id, NOON)
    job = catalog.job(attempt.job.job_id)
    assert (job.stage, job.progress_percent, job.state) == (stage, MILESTONES_PERCENT[stage], JobState.PROCESSING)


def test_a_failed_gate_is_recorded_and_leaves_the_progress_where_it_was(catalog: Catalog) -> None:
    attempt = begun(catalog, registered(catalog))
    catalog.report_progress(attempt.job.job_id, Stage.RAW_OBJECT, 7)
    catalog.publish(product(attempt, passed=False), attempt.job.job_id, NOON)
    record = catalog.stage(attempt.dataset.dataset_id, STAGED)
    assert record
    assert not record.passed
    job = catalog.job(attempt.job.job_id)
    assert (job.stage, job.progress_percent) == (STAGED, 7)


def test_publishing_again_changes_nothing(catalog: Catalog) -> None:
    """A crash between catalog and manifest is finished by the next try."""
    attempt = begun(catalog, registered(catalog))
    for _ in range(2):
        catalog.publish(product(attempt), attempt.job.job_id, NOON)
    assert catalog.previous_tables(registered(catalog, "b"), STAGED) == product(attempt).tables


def test_a_newer_attempt_takes_the_place_of_the_older(catalog: Catalog) -> None:
    dataset = registered(catalog)
    old = begun(catalog, dataset, "run-1")
    catalog.publish(product(old, rows=5), old.job.job_id, NOON)
    new = begun(catalog, dataset, "run-2", parent="run-1")
    catalog.publish(product(new, rows=9), new.job.job_id, LATER)
    record = catalog.stage(dataset.dataset_id, STAGED)
    assert record
    assert (record.attempt, record.rows_out, record.job_id) == (2, 9, new.job.job_id)
    assert catalog.previous_tables(registered(catalog, "b"), STAGED) == product(new, rows=9).tables


def test_a_paused_attempt_that_wakes_after_a_newer_one_began_is_fenced(catalog: Catalog) -> None:
    dataset = registered(catalog)
    old = begun(catalog, dataset, "run-1")
    new = begun(catalog, dataset, "run-2")
    with pytest.raises(FencedError, match=r"attempt 1 of .* may not publish, the current one is 2 \[attempt\.fenced\]"):
        catalog.publish(product(old), old.job.job_id, NOON)
    assert catalog.stage(dataset.dataset_id, STAGED) is None
    catalog.publish(product(new), new.job.job_id, NOON)
    with pytest.raises(FencedError):
        catalog.publish(product(old), old.job.job_id, NOON)
    record = catalog.stage(dataset.dataset_id, STAGED)
    assert record
    assert record.attempt == 2


@pytest.mark.parametrize("state", [JobState.CANCELED, JobState.FAILED, JobState.COMPLETED])
def test_a_job_that_has_ended_may_not_publish(catalog: Catalog, state: JobState) -> None:
    attempt = begun(catalog, registered(catalog))
    catalog.close_job(attempt.job.job_id, state, None, NOON)
    with pytest.raises(FencedError, match=rf"is {state} and may not publish \[attempt\.fenced\]"):
        catalog.publish(product(attempt), attempt.job.job_id, NOON)


def test_only_the_job_of_the_attempt_may_publish_it(catalog: Catalog) -> None:
    a, b = (begun(catalog, registered(catalog, name), name) for name in "ab")
    with pytest.raises(FencedError, match=r"does not carry attempt 1"):
        catalog.publish(product(a), b.job.job_id, NOON)


def test_an_unknown_dataset_is_not_found(catalog: Catalog) -> None:
    attempt = begun(catalog, registered(catalog))
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.publish(replace(product(attempt), dataset_id="sales--aaaaaaaaaaaaaaaa"), attempt.job.job_id, NOON)


def test_the_previous_tables_are_those_of_the_newest_earlier_dataset_that_passed(catalog: Catalog) -> None:
    a, b, c, d = (begun(catalog, registered(catalog, name), name) for name in "abcd")
    other = begun(catalog, registered(catalog, "z", datasource="stock"), "z")
    for attempt, rows, passed in [(a, 1, True), (b, 2, True), (c, 3, False), (d, 4, True), (other, 5, True)]:
        catalog.publish(product(attempt, rows=rows, passed=passed), attempt.job.job_id, NOON)
    assert catalog.previous_tables(d.dataset, STAGED) == product(b, rows=2).tables
    assert catalog.previous_tables(b.dataset, STAGED) == product(a, rows=1).tables
    assert catalog.previous_tables(a.dataset, STAGED) is None
    assert catalog.previous_tables(d.dataset, Stage.VALIDATED_FRAME) is None


def test_a_product_without_tables_is_published(catalog: Catalog) -> None:
    attempt = begun(catalog, registered(catalog))
    catalog.publish(replace(product(attempt), tables=()), attempt.job.job_id, NOON)
    assert catalog.previous_tables(registered(catalog, "b"), STAGED) == ()


def test_the_row_history_is_what_earlier_datasets_served_newest_first(catalog: Catalog) -> None:
    datasets = catalog.register([new_dataset(name) for name in "abcd"], NOON)
    for dataset, passed in zip(datasets, (True, True, False, True), strict=True):
        attempt = begun(catalog, dataset, dataset.dataset_id)
        served = product(attempt, Stage.DRUID_DATASOURCE, rows=10 * dataset.sequence, passed=passed)
        catalog.publish(served, attempt.job.job_id, NOON)
    assert catalog.row_history(datasets[3], 10) == [20, 10]
    assert catalog.row_history(datasets[3], 1) == [20]
    assert catalog.row_history(datasets[0], 10) == []
    assert catalog.row_history(datasets[3], 0) == []

"""Asking for jobs, claiming them, telling their progress and closing them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from metricfoundry_dagster.domain.errors import ConflictError, NotFoundError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.samples import ERROR, LATER, NOON, begun, new_dataset, registered

LOST_AFTER = timedelta(minutes=5)
ENDED = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELED]


def test_a_job_is_requested_once_the_one_before_has_ended(catalog: Catalog) -> None:
    dataset = registered(catalog)
    first = catalog.jobs_of(dataset.dataset_id)[0]
    catalog.close_job(first.job_id, JobState.FAILED, ERROR, NOON)
    second = catalog.request_job(dataset.dataset_id, LATER)
    assert (second.state, second.attempt, second.created_at) == (JobState.CREATED, 0, LATER)
    assert [job.job_id for job in catalog.jobs_of(dataset.dataset_id)] == [second.job_id, first.job_id]
    assert catalog.job(second.job_id) == second


@pytest.mark.parametrize("state", [JobState.CREATED, JobState.QUEUED, JobState.PROCESSING])
def test_no_job_is_requested_while_another_is_under_way(catalog: Catalog, state: JobState) -> None:
    dataset = registered(catalog)
    if state is JobState.QUEUED:
        catalog.claim_jobs(1, NOON, LOST_AFTER)
    if state is JobState.PROCESSING:
        begun(catalog, dataset)
    with pytest.raises(ConflictError, match=rf"is {state} \[job\.not_retryable\]"):
        catalog.request_job(dataset.dataset_id, NOON)


def test_unknown_jobs_and_datasets_are_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.job("nothing")
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.request_job("sales--aaaaaaaaaaaaaaaa", NOON)
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.report_progress("nothing", Stage.RAW_OBJECT, 5)
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.close_job("nothing", JobState.FAILED, None, NOON)
    assert catalog.jobs_of("sales--aaaaaaaaaaaaaaaa") == []


def test_jobs_are_claimed_oldest_first_and_only_once(catalog: Catalog) -> None:
    datasets = catalog.register([new_dataset(name) for name in "abc"], NOON)
    first = catalog.claim_jobs(2, LATER, LOST_AFTER)
    rest = catalog.claim_jobs(2, LATER, LOST_AFTER)
    assert [job.dataset_id for job, _ in first + rest] == [dataset.dataset_id for dataset in datasets]
    assert {(job.state, lost) for job, lost in first + rest} == {(JobState.QUEUED, False)}
    assert catalog.claim_jobs(2, LATER, LOST_AFTER) == []


def test_a_claim_that_came_to_nothing_is_given_again_marked_as_such(catalog: Catalog) -> None:
    registered(catalog)
    job = catalog.claim_jobs(1, NOON, LOST_AFTER)[0][0]
    assert catalog.claim_jobs(1, NOON + LOST_AFTER, LOST_AFTER) == []
    late = NOON + LOST_AFTER + timedelta(microseconds=1)
    assert catalog.claim_jobs(1, late, LOST_AFTER) == [(replace(job, claimed_at=late), True)]
    assert catalog.claim_jobs(1, late, LOST_AFTER) == []


def test_lost_claims_are_given_beside_the_limit_of_new_ones(catalog: Catalog) -> None:
    """A queue that is full must not keep a lost job from being looked after."""
    catalog.register([new_dataset(name) for name in "abc"], NOON)
    lost = catalog.claim_jobs(1, NOON, LOST_AFTER)[0][0]
    late = NOON + 2 * LOST_AFTER
    assert catalog.claim_jobs(0, late, LOST_AFTER) == [(replace(lost, claimed_at=late), True)]
    later = late + 2 * LOST_AFTER
    assert [was_lost for _, was_lost in catalog.claim_jobs(1, later, LOST_AFTER)] == [True, False]


def test_a_claim_that_led_to_a_run_is_not_given_again(catalog: Catalog) -> None:
    registered(catalog)
    catalog.attach_run(catalog.claim_jobs(1, NOON, LOST_AFTER)[0][0].job_id, "run-1")
    assert catalog.claim_jobs(1, NOON + timedelta(days=9), LOST_AFTER) == []


@pytest.mark.parametrize("limit", [0, -1])
def test_claiming_none_takes_none(catalog: Catalog, limit: int) -> None:
    registered(catalog)
    assert catalog.claim_jobs(limit, NOON, LOST_AFTER) == []
    assert len(catalog.claim_jobs(1, NOON, LOST_AFTER)) == 1


def test_one_job_is_claimed_by_one_only_and_can_be_given_back(catalog: Catalog) -> None:
    job_id = catalog.jobs_of(registered(catalog).dataset_id)[0].job_id
    assert [catalog.claim_job(job_id, NOON), catalog.claim_job(job_id, NOON)] == [True, False]
    catalog.release_job(job_id)
    assert catalog.job(job_id).state is JobState.CREATED
    assert catalog.claim_job(job_id, NOON)


def test_only_a_queued_job_without_a_run_can_be_given_back(catalog: Catalog) -> None:
    dataset = registered(catalog)
    job_id = catalog.jobs_of(dataset.dataset_id)[0].job_id
    catalog.claim_job(job_id, NOON)
    catalog.attach_run(job_id, "run-1")
    catalog.release_job(job_id)
    assert catalog.job(job_id).state is JobState.QUEUED
    begun(catalog, dataset)
    catalog.release_job(job_id)
    assert catalog.job(job_id).state is JobState.PROCESSING


def test_the_run_of_a_queued_job_is_noted_once(catalog: Catalog) -> None:
    dataset = registered(catalog)
    job_id = catalog.jobs_of(dataset.dataset_id)[0].job_id
    catalog.claim_job(job_id, NOON)
    catalog.attach_run(job_id, "run-1")
    catalog.attach_run(job_id, "run-2")
    assert catalog.job(job_id).run_id == "run-1"
    begun(catalog, dataset, "run-1")
    catalog.attach_run(job_id, "run-3")
    assert [job.job_id for job in catalog.jobs_of_run("run-1")] == [job_id]
    assert catalog.jobs_of_run("run-3") == []


def test_a_run_can_carry_the_jobs_of_many_datasets(catalog: Catalog) -> None:
    datasets = catalog.register([new_dataset(name) for name in "abc"], NOON)
    for dataset in datasets:
        begun(catalog, dataset, "batch")
    assert [job.dataset_id for job in catalog.jobs_of_run("batch")] == [dataset.dataset_id for dataset in datasets]


def test_progress_never_goes_back(catalog: Catalog) -> None:
    job_id = begun(catalog, registered(catalog)).job.job_id
    seen = []
    for stage, percent in [
        (Stage.STAGED_PARQUET, 10),
        (Stage.RAW_OBJECT, 20),
        (Stage.STAGED_PARQUET, 5),
        (Stage.VALIDATED_FRAME, 30),
    ]:
        assert catalog.report_progress(job_id, stage, percent) is JobState.PROCESSING
        job = catalog.job(job_id)
        seen.append((job.stage, job.progress_percent))
    staged = (Stage.STAGED_PARQUET, 10)
    assert seen == [staged, staged, staged, (Stage.VALIDATED_FRAME, 30)]


@pytest.mark.parametrize(("percent", "kept"), [(-5, 0), (140, 100)])
def test_progress_stays_between_0_and_100(catalog: Catalog, percent: int, kept: int) -> None:
    job_id = begun(catalog, registered(catalog)).job.job_id
    catalog.report_progress(job_id, Stage.RAW_OBJECT, percent)
    assert catalog.job(job_id).progress_percent == kept


@pytest.mark.parametrize("state", ENDED)
def test_progress_of_a_job_that_has_ended_changes_nothing_and_tells_so(catalog: Catalog, state: JobState) -> None:
    job_id = begun(catalog, registered(catalog)).job.job_id
    catalog.close_job(job_id, state, None, NOON)
    ended = catalog.job(job_id)
    assert catalog.report_progress(job_id, Stage.PROFILE_REPORT, 99) is state
    assert catalog.job(job_id) == ended


@pytest.mark.parametrize("state", ENDED)
def test_a_job_ends_once(catalog: Catalog, state: JobState) -> None:
    job_id = begun(catalog, registered(catalog)).job.job_id
    catalog.report_progress(job_id, Stage.STAGED_PARQUET, 20)
    assert catalog.close_job(job_id, state, ERROR, LATER)
    ended = catalog.job(job_id)
    assert (ended.state, ended.error, ended.ended_at) == (state, ERROR, LATER)
    assert ended.progress_percent == (100 if state is JobState.COMPLETED else 20)
    assert not catalog.close_job(job_id, JobState.CANCELED, None, NOON)
    assert catalog.job(job_id) == ended


def test_a_partial_job_is_completed_where_it_stands(catalog: Catalog) -> None:
    job_id = begun(catalog, registered(catalog)).job.job_id
    catalog.report_progress(job_id, Stage.STAGED_PARQUET, 20)
    assert catalog.close_partial_job(job_id, LATER)
    ended = catalog.job(job_id)
    assert (ended.state, ended.error, ended.progress_percent, ended.ended_at) == (JobState.COMPLETED, None, 20, LATER)
    assert not catalog.close_partial_job(job_id, NOON)
    assert catalog.job(job_id) == ended


def test_a_waiting_job_can_be_canceled(catalog: Catalog) -> None:
    job = catalog.jobs_of(registered(catalog).dataset_id)[0]
    assert catalog.close_job(job.job_id, JobState.CANCELED, None, NOON)
    assert catalog.claim_jobs(1, NOON, LOST_AFTER) == []
    assert not catalog.claim_job(job.job_id, NOON)


def test_a_job_cannot_end_in_a_state_that_is_no_end(catalog: Catalog) -> None:
    job_id = begun(catalog, registered(catalog)).job.job_id
    with pytest.raises(ValueError, match="queued"):
        catalog.close_job(job_id, JobState.QUEUED, None, NOON)


@pytest.mark.parametrize("opened", [True, False])
def test_a_job_is_replaced_at_once_by_one_that_waits(catalog: Catalog, opened: bool) -> None:
    dataset = registered(catalog)
    lost = begun(catalog, dataset).job if opened else catalog.jobs_of(dataset.dataset_id)[0]
    successor = catalog.replace_job(lost.job_id, ERROR, LATER)
    assert successor is not None
    assert (successor.state, successor.created_at) == (JobState.CREATED, LATER)
    ended = catalog.job(lost.job_id)
    assert (ended.state, ended.error, ended.ended_at) == (JobState.FAILED, ERROR, LATER)
    assert catalog.jobs_of(dataset.dataset_id) == [successor, ended]


@pytest.mark.parametrize("state", ENDED)
def test_a_job_that_has_ended_is_not_replaced(catalog: Catalog, state: JobState) -> None:
    dataset = registered(catalog)
    job_id = catalog.jobs_of(dataset.dataset_id)[0].job_id
    catalog.close_job(job_id, state, None, NOON)
    assert catalog.replace_job(job_id, ERROR, LATER) is None
    assert [job.state for job in catalog.jobs_of(dataset.dataset_id)] == [state]
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.replace_job("nothing", ERROR, NOON)

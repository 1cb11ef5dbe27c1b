"""Asking for jobs, telling their progress and closing them."""

import pytest

from metricfoundry_dagster.domain.errors import ConflictError, NotFoundError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.samples import ERROR, LATER, NOON, begun, claim, registered

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
        claim(catalog)
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
    assert claim(catalog) == []
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
    assert (successor.state, successor.created_at, successor.batch_limit) == (JobState.CREATED, LATER, 1)
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

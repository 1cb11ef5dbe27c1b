"""How runs get their jobs: first ones, retries, re-executions, hand-made runs and those that come too late."""

from datetime import timedelta

import pytest

from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import ConflictError, NotFoundError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.samples import LATER, NOON, begun, claim, new_dataset, registered


@pytest.fixture
def dataset(catalog: Catalog) -> Dataset:
    return registered(catalog)


@pytest.fixture
def first(catalog: Catalog, dataset: Dataset) -> Job:
    """The job that came with the registration."""
    return catalog.jobs_of(dataset.dataset_id)[0]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("queued", [True, False])
def test_the_first_run_takes_the_waiting_job(catalog: Catalog, dataset: Dataset, first: Job, named: bool, queued: bool) -> None:
    if queued:
        catalog.claim_job(first.job_id, NOON)
        catalog.attach_run(first.job_id, "run-1")
    attempt = begun(catalog, dataset, "run-1", job_id=first.job_id if named else None)
    assert attempt.dataset == dataset
    assert (attempt.number, attempt.job.job_id, attempt.job.run_id) == (1, first.job_id, "run-1")
    assert attempt.job.state is JobState.PROCESSING
    assert attempt.job == catalog.job(first.job_id)


def test_the_same_run_always_gets_the_same_job(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    begun(catalog, dataset, "run-1")
    catalog.report_progress(first.job_id, Stage.STAGED_PARQUET, 20)
    again = begun(catalog, dataset, "run-1", job_id=first.job_id, parent="run-0")
    assert (again.number, again.job.progress_percent) == (1, 20)
    catalog.close_job(first.job_id, JobState.COMPLETED, None, LATER)
    assert begun(catalog, dataset, "run-1").job == catalog.job(first.job_id)
    assert len(catalog.jobs_of(dataset.dataset_id)) == 1


def test_a_retry_takes_over_from_the_run_that_died(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    begun(catalog, dataset, "run-1")
    attempt = begun(catalog, dataset, "run-2", job_id=first.job_id, parent="run-1")
    assert attempt.number == 2
    died = catalog.job(first.job_id)
    assert (died.state, died.error and died.error.code) == (JobState.FAILED, "worker.died")
    assert died.ended_at == NOON


def test_a_retry_takes_over_from_a_run_that_died_before_it_began(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    catalog.claim_job(first.job_id, NOON)
    catalog.attach_run(first.job_id, "run-1")
    attempt = begun(catalog, dataset, "run-2", job_id=first.job_id, parent="run-1")
    assert (attempt.number, catalog.job(first.job_id).state) == (1, JobState.FAILED)


def test_a_retry_of_a_retry_still_names_the_first_job(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    """Dagster copies the tags of the first run to every retry."""
    runs = [("run-1", None), ("run-2", "run-1"), ("run-3", "run-2"), ("run-4", "run-3")]
    numbers = [begun(catalog, dataset, run, job_id=first.job_id, parent=parent).number for run, parent in runs]
    assert numbers == [1, 2, 3, 4]
    assert [job.state for job in catalog.jobs_of(dataset.dataset_id)] == [JobState.PROCESSING, *[JobState.FAILED] * 3]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.COMPLETED])
def test_a_re_execution_of_a_run_that_has_ended_gets_a_new_job(
    catalog: Catalog, dataset: Dataset, first: Job, state: JobState
) -> None:
    begun(catalog, dataset, "run-1")
    catalog.close_job(first.job_id, state, None, NOON)
    attempt = begun(catalog, dataset, "run-2", job_id=first.job_id, parent="run-1")
    assert (attempt.number, attempt.job.job_id == first.job_id) == (2, False)
    assert catalog.job(first.job_id).state is state


def test_a_re_execution_takes_the_job_that_somebody_requested_meanwhile(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    begun(catalog, dataset, "run-1")
    catalog.close_job(first.job_id, JobState.FAILED, None, NOON)
    requested = catalog.request_job(dataset.dataset_id, NOON)
    assert begun(catalog, dataset, "run-2", job_id=first.job_id, parent="run-1").job.job_id == requested.job_id
    with pytest.raises(ConflictError, match=r"belongs to run run-2 \[job\.not_retryable\]"):
        begun(catalog, dataset, "run-3", job_id=requested.job_id)


def test_a_run_by_hand_after_the_end_gets_a_new_job(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    catalog.close_job(begun(catalog, dataset).job.job_id, JobState.COMPLETED, None, NOON)
    attempt = begun(catalog, dataset, "run-2")
    assert (attempt.number, attempt.job.created_at) == (2, NOON)


def test_a_run_by_hand_overtakes_one_that_hangs(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    begun(catalog, dataset, "run-1")
    attempt = begun(catalog, dataset, "run-2")
    overtaken = catalog.job(first.job_id)
    assert (attempt.number, overtaken.state) == (2, JobState.FAILED)
    assert overtaken.error
    assert overtaken.error.code == "attempt.fenced"


def test_a_run_by_hand_leaves_the_job_that_waits_for_another_run(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    """Else the other run would find its job taken, and fail."""
    catalog.claim_job(first.job_id, NOON)
    catalog.attach_run(first.job_id, "run-1")
    for parent in (None, "run-0"):
        with pytest.raises(ConflictError, match=r"is queued and belongs to run run-1 \[job\.not_retryable\]"):
            begun(catalog, dataset, "run-2", parent=parent)
    assert begun(catalog, dataset, "run-1", job_id=first.job_id).job.job_id == first.job_id


def test_a_dataset_registered_by_a_run_has_a_job_for_that_run_alone(catalog: Catalog) -> None:
    """The sensor does not claim it, and another run does not take it."""
    [dataset] = catalog.register([new_dataset()], NOON, "run-1")
    assert catalog.waiting_jobs(9, LATER) == []
    assert catalog.reclaim_jobs(LATER, timedelta(0)) == []
    with pytest.raises(ConflictError, match=r"\[job\.not_retryable\]"):
        begun(catalog, dataset, "run-2")
    assert begun(catalog, dataset, "run-1").number == 1
    assert len(catalog.jobs_of(dataset.dataset_id)) == 1


def test_a_job_of_another_run_is_refused(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    begun(catalog, dataset, "run-1")
    for parent in (None, "run-0"):
        with pytest.raises(
            ConflictError, match=rf"job {first.job_id} is processing and belongs to run run-1 \[job\.not_retryable\]"
        ):
            begun(catalog, dataset, "run-2", job_id=first.job_id, parent=parent)
    assert catalog.job(first.job_id).state is JobState.PROCESSING


def test_a_job_that_ended_before_any_run_began_is_refused(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    catalog.close_job(first.job_id, JobState.FAILED, None, NOON)
    with pytest.raises(ConflictError, match=r"is failed and belongs to no run \[job\.not_retryable\]"):
        begun(catalog, dataset, job_id=first.job_id)


def test_a_run_whose_job_was_given_up_before_it_began_is_refused(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    """It took so long to start that it was held for dead; the dataset is somebody else's by now."""
    catalog.claim_job(first.job_id, NOON)
    catalog.attach_run(first.job_id, "run-1")
    catalog.close_job(first.job_id, JobState.FAILED, None, NOON)
    with pytest.raises(ConflictError, match=r"is failed and belongs to run run-1 \[job\.not_retryable\]"):
        begun(catalog, dataset, "run-1", job_id=first.job_id)


@pytest.mark.parametrize("queued", [True, False])
def test_a_canceled_job_is_not_begun(catalog: Catalog, dataset: Dataset, first: Job, queued: bool) -> None:
    if queued:
        catalog.claim_job(first.job_id, NOON)
        catalog.attach_run(first.job_id, "run-1")
    catalog.close_job(first.job_id, JobState.CANCELED, None, NOON)
    with pytest.raises(ConflictError, match=r"\[job\.canceled\]"):
        begun(catalog, dataset, "run-1", job_id=first.job_id)
    assert len(catalog.jobs_of(dataset.dataset_id)) == 1


def test_a_canceled_job_is_not_gone_on_with_nor_retried(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    begun(catalog, dataset, "run-1")
    catalog.close_job(first.job_id, JobState.CANCELED, None, NOON)
    with pytest.raises(ConflictError, match=r"\[job\.canceled\]"):
        begun(catalog, dataset, "run-1")
    with pytest.raises(ConflictError, match=r"\[job\.canceled\]"):
        begun(catalog, dataset, "run-2", job_id=first.job_id, parent="run-1")


def test_a_job_requested_after_a_cancel_is_begun(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    begun(catalog, dataset, "run-1")
    catalog.close_job(first.job_id, JobState.CANCELED, None, NOON)
    requested = catalog.request_job(dataset.dataset_id, LATER)
    assert begun(catalog, dataset, "run-2", job_id=requested.job_id, parent="run-1").job.job_id == requested.job_id


def test_what_is_unknown_is_not_found(catalog: Catalog, dataset: Dataset) -> None:
    other = registered(catalog, "other")
    for job_id in ("nothing", catalog.jobs_of(other.dataset_id)[0].job_id):
        with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
            begun(catalog, dataset, job_id=job_id)
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.open_job("sales--aaaaaaaaaaaaaaaa", "run-1", None, None, NOON)


def test_runs_of_two_datasets_do_not_meet(catalog: Catalog, dataset: Dataset) -> None:
    other = registered(catalog, "other")
    assert [begun(catalog, each, "batch").number for each in (dataset, other)] == [1, 1]
    assert begun(catalog, other, "batch-2", parent="batch").number == 2
    assert catalog.jobs_of(dataset.dataset_id)[0].state is JobState.PROCESSING


def test_a_lost_claim_whose_run_did_start_is_not_submitted_again(catalog: Catalog, dataset: Dataset, first: Job) -> None:
    """The claimer died between submitting and noting the run; the run itself says whose it is."""
    claim(catalog)
    begun(catalog, dataset, "run-1", job_id=first.job_id)
    assert catalog.reclaim_jobs(LATER, timedelta(0)) == []

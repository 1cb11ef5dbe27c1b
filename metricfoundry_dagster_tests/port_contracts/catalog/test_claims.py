"""Claiming waiting jobs, alone and for batches: none twice, none lost."""

from dataclasses import replace
from datetime import timedelta

from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.ports.catalog import Catalog, GivenBack, WaitingJob
from metricfoundry_dagster_tests.port_contracts.catalog.samples import ERROR, LATER, NOON, begun, claim, new_dataset, registered

LOST_AFTER = timedelta(minutes=5)
LATE = NOON + LOST_AFTER + timedelta(microseconds=1)


def test_waiting_jobs_come_oldest_first_with_their_size(catalog: Catalog) -> None:
    datasets = catalog.register([new_dataset(name) for name in "abc"], NOON)
    jobs = [catalog.jobs_of(dataset.dataset_id)[0] for dataset in datasets]
    assert catalog.waiting_jobs(2, NOON) == [WaitingJob(job.job_id, job.dataset_id, 10, NOON, None) for job in jobs[:2]]
    assert [catalog.waiting_jobs(limit, NOON) for limit in (0, -1)] == [[], []]
    claim(catalog, 2)
    assert [waiting.job_id for waiting in catalog.waiting_jobs(9, NOON)] == [jobs[2].job_id]


def test_jobs_are_claimed_once(catalog: Catalog) -> None:
    datasets = catalog.register([new_dataset(name) for name in "abc"], NOON)
    wanted = {waiting.job_id: None for waiting in catalog.waiting_jobs(9, NOON)}
    claimed = catalog.claim_jobs(wanted, LATER)
    assert [job.dataset_id for job in claimed] == [dataset.dataset_id for dataset in datasets]
    assert {(job.state, job.claimed_at, job.batch_id) for job in claimed} == {(JobState.QUEUED, LATER, None)}
    assert catalog.claim_jobs(wanted, LATER) == catalog.claim_jobs({}, LATER) == []


def test_a_batch_is_claimed_with_its_id_and_waits_for_one_run(catalog: Catalog) -> None:
    catalog.register([new_dataset(name) for name in "abcde"], NOON)
    assert {job.batch_id for job in claim(catalog, 3, batch_id="batch-1")} == {"batch-1"}
    claim(catalog, 2)
    assert catalog.queued_runs() == 3
    catalog.attach_batch("batch-1", "run-1")
    assert [job.run_id for job in catalog.jobs_of_run("run-1")] == ["run-1"] * 3
    catalog.attach_batch("batch-1", "run-2")
    assert catalog.jobs_of_run("run-2") == []


def test_a_claim_that_came_to_nothing_is_given_again_with_its_batch(catalog: Catalog) -> None:
    registered(catalog)
    [job] = claim(catalog, batch_id="batch-1")
    assert catalog.reclaim_jobs(NOON + LOST_AFTER, LOST_AFTER) == []
    assert catalog.reclaim_jobs(LATE, LOST_AFTER) == [replace(job, claimed_at=LATE)]
    assert catalog.reclaim_jobs(LATE, LOST_AFTER) == []


def test_a_claim_that_led_to_a_run_is_not_given_again(catalog: Catalog) -> None:
    registered(catalog)
    catalog.attach_run(claim(catalog)[0].job_id, "run-1")
    assert catalog.reclaim_jobs(NOON + timedelta(days=9), LOST_AFTER) == []


def test_a_job_that_is_held_back_waits_until_its_time(catalog: Catalog) -> None:
    job = begun(catalog, registered(catalog)).job
    catalog.give_back([GivenBack(job.job_id, ERROR, batch_limit=7, held_until=LATER)], "run-1", NOON)
    assert catalog.waiting_jobs(9, NOON) == []
    [waiting] = catalog.waiting_jobs(9, LATER)
    assert (waiting.dataset_id, waiting.batch_limit) == (job.dataset_id, 7)


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

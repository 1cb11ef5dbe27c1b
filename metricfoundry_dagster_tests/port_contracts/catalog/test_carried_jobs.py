"""What a run does with the jobs of many datasets at once: opens, closes, gives back, and tells of them."""

import pytest

from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.domain.jobs import Attempt, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.catalog import CarriedRun, Catalog, Ending, GivenBack
from metricfoundry_dagster_tests.port_contracts.catalog.samples import (
    ERROR,
    LATER,
    NOON,
    begun,
    claim,
    new_dataset,
    product,
    registered,
)


@pytest.fixture
def datasets(catalog: Catalog) -> list[Dataset]:
    """Four datasets whose jobs were claimed for one batch."""
    datasets = catalog.register([new_dataset(name) for name in "abcd"], NOON)
    claim(catalog, 4, batch_id="batch-1")
    return datasets


def named(catalog: Catalog, datasets: list[Dataset]) -> list[tuple[str, str]]:
    """The datasets with the ids of their newest jobs, as a batch names them."""
    return [(dataset.dataset_id, catalog.jobs_of(dataset.dataset_id)[0].job_id) for dataset in datasets]


def opened(catalog: Catalog, datasets: list[Dataset], run_id: str = "run-1") -> list[Attempt]:
    """Attempts of all datasets, opened by one run."""
    outcomes = catalog.open_jobs(named(catalog, datasets), run_id, None, NOON)
    assert not any(isinstance(outcome, MetricFoundryError) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Attempt)]


def codes(outcomes: list[Attempt | MetricFoundryError]) -> list[str]:
    """What is wrong with each, empty where nothing is."""
    return [outcome.code if isinstance(outcome, MetricFoundryError) else "" for outcome in outcomes]


def test_many_jobs_are_begun_at_once_as_one_would_be(catalog: Catalog, datasets: list[Dataset]) -> None:
    attempts = opened(catalog, datasets[::-1])
    assert [attempt.dataset for attempt in attempts] == datasets[::-1]
    assert {(a.number, a.job.state, a.job.run_id, a.job.batch_id) for a in attempts} == {
        (1, JobState.PROCESSING, "run-1", "batch-1")
    }
    assert [catalog.job(attempt.job.job_id) for attempt in attempts] == [attempt.job for attempt in attempts]
    assert opened(catalog, datasets[::-1]) == attempts


def test_jobs_that_do_not_simply_wait_are_told_in_their_place(catalog: Catalog, datasets: list[Dataset]) -> None:
    """Canceled, begun by another run, completed and unknown: the last dataset is begun all the same."""
    canceled, elsewhere, completed, good = named(catalog, datasets)
    catalog.close_job(canceled[1], JobState.CANCELED, None, NOON)
    begun(catalog, datasets[1], "run-0", job_id=elsewhere[1])
    begun(catalog, datasets[2], "run-0", job_id=completed[1])
    catalog.close_job(completed[1], JobState.COMPLETED, None, NOON)
    unknown = ("sales--zzzzzzzzzzzzzzzz", "nothing")
    outcomes = catalog.open_jobs([canceled, elsewhere, completed, unknown, good], "run-1", None, NOON)
    assert codes(outcomes) == ["job.canceled", "job.not_retryable", "job.not_retryable", "dataset.not_found", ""]
    assert catalog.job(elsewhere[1]).run_id == "run-0"


def test_a_run_that_is_started_again_takes_up_what_the_one_before_did_not_complete(
    catalog: Catalog, datasets: list[Dataset]
) -> None:
    jobs = named(catalog, datasets)
    opened(catalog, datasets[:3])
    catalog.close_jobs([Ending(jobs[0][1], JobState.COMPLETED), Ending(jobs[1][1], JobState.FAILED, ERROR)], NOON)
    outcomes = catalog.open_jobs(jobs, "run-2", "run-1", NOON)
    assert codes(outcomes) == ["job.not_retryable", "", "", ""]
    assert [outcome.number for outcome in outcomes if isinstance(outcome, Attempt)] == [2, 2, 1]


def test_a_run_that_is_started_again_leaves_what_others_did_or_have_in_hand(catalog: Catalog, datasets: list[Dataset]) -> None:
    """The run before gave all back; of the successors one was completed, one is under way, one failed and one waits."""
    jobs = named(catalog, datasets)
    opened(catalog, datasets)
    catalog.give_back([GivenBack(job_id, ERROR) for _, job_id in jobs], "run-1", NOON)
    done, _, failed = (attempt.job.job_id for attempt in opened(catalog, datasets[:3], "run-2"))
    catalog.close_jobs([Ending(done, JobState.COMPLETED), Ending(failed, JobState.FAILED, ERROR)], NOON)
    outcomes = catalog.open_jobs(jobs, "run-3", "run-1", NOON)
    assert codes(outcomes) == ["job.not_retryable", "job.not_retryable", "", ""]
    assert [catalog.jobs_of(dataset.dataset_id)[0].run_id for dataset in datasets] == ["run-2", "run-2", "run-3", "run-3"]


def test_what_a_batch_begins_is_of_a_batch_whoever_claimed_it(catalog: Catalog, datasets: list[Dataset]) -> None:
    """Jobs that were released, and those that a run that is started again adds; Dagster is to be told of each."""
    jobs = named(catalog, datasets[:2])
    opened(catalog, datasets[:1])
    catalog.attach_batch("batch-1", "run-1")
    catalog.close_jobs([Ending(jobs[0][1], JobState.FAILED, ERROR)], NOON)
    catalog.give_back([GivenBack(jobs[1][1], ERROR)], "run-1", NOON)
    attempts = [outcome for outcome in catalog.open_jobs(jobs, "run-2", "run-1", NOON) if isinstance(outcome, Attempt)]
    [batch_id] = {attempt.job.batch_id for attempt in attempts}
    assert batch_id not in {None, "batch-1"}
    assert [attempt.job for attempt in attempts] == catalog.jobs_of_run("run-2")[::-1]
    catalog.close_jobs([Ending(attempt.job.job_id, JobState.COMPLETED) for attempt in attempts], NOON)
    assert {job.dataset_id for job in catalog.untold_jobs("run-2")} == {dataset_id for dataset_id, _ in jobs}


def test_many_jobs_end_at_once_and_only_once(catalog: Catalog, datasets: list[Dataset]) -> None:
    attempts = opened(catalog, datasets)
    ids = [attempt.job.job_id for attempt in attempts]
    catalog.report_progress(ids[1], Stage.STAGED_PARQUET, 20)
    catalog.close_job(ids[2], JobState.CANCELED, None, NOON)
    endings = [Ending(ids[0], JobState.COMPLETED), Ending(ids[1], JobState.FAILED, ERROR), Ending(ids[2], JobState.COMPLETED)]
    catalog.close_jobs(endings, LATER)
    states = [(job.state, job.progress_percent, job.error, job.ended_at) for job in map(catalog.job, ids)]
    assert states == [
        (JobState.COMPLETED, 100, None, LATER),
        (JobState.FAILED, 20, ERROR, LATER),
        (JobState.CANCELED, 0, None, NOON),
        (JobState.PROCESSING, 0, None, None),
    ]
    catalog.close_jobs([], NOON)
    with pytest.raises(ValueError, match="end"):
        catalog.close_jobs([Ending(ids[3], JobState.QUEUED)], NOON)


def test_what_a_run_gives_back_waits_again(catalog: Catalog, datasets: list[Dataset]) -> None:
    """A queued job is the same as before; one that was begun ends, and a new one stands in its place."""
    done, begun_one, queued, canceled = named(catalog, datasets)
    opened(catalog, datasets[:2])
    catalog.attach_batch("batch-1", "run-1")
    catalog.close_job(done[1], JobState.COMPLETED, None, NOON)
    catalog.close_job(canceled[1], JobState.CANCELED, None, NOON)
    given = [GivenBack(job_id, ERROR, batch_limit=1, held_until=NOON) for _, job_id in (done, begun_one, queued, canceled)]
    assert catalog.give_back(given, "run-1", LATER) == 2
    assert [waiting.dataset_id for waiting in catalog.waiting_jobs(9, NOON)] == [queued[0], begun_one[0]]
    ended = catalog.job(begun_one[1])
    assert (ended.state, ended.error, ended.ended_at) == (JobState.FAILED, ERROR, LATER)
    released = catalog.job(queued[1])
    assert (released.state, released.run_id, released.batch_id, released.batch_limit) == (JobState.CREATED, None, None, 1)
    assert [catalog.job(job_id).state for _, job_id in (done, canceled)] == [JobState.COMPLETED, JobState.CANCELED]


def test_a_run_gives_back_nothing_that_another_carries(catalog: Catalog, datasets: list[Dataset]) -> None:
    """A run that is started again, or outlives its death, knows ids of jobs that others took up meanwhile."""
    begun_one, queued, *free = named(catalog, datasets)
    opened(catalog, datasets[:1], "run-2")
    catalog.attach_run(queued[1], "run-2")
    before = [catalog.job(job_id) for _, job_id in (begun_one, queued, *free)]
    given = [GivenBack(job.job_id, ERROR, batch_limit=1, held_until=LATER) for job in before]
    assert catalog.give_back(given, "run-1", NOON) == 0
    assert [catalog.job(job.job_id) for job in before] == before


def test_a_limit_can_be_made_smaller_and_never_larger(catalog: Catalog, datasets: list[Dataset]) -> None:
    """Whether the job was begun, and has a successor, or not."""
    for run_id, limit, known in (("run-1", 8, 8), ("run-2", None, 8), ("run-3", 9, 8), ("run-4", 2, 2)):
        jobs = named(catalog, datasets[:2])
        catalog.claim_jobs({job_id: "batch-1" for _, job_id in jobs}, NOON)
        catalog.attach_batch("batch-1", run_id)
        opened(catalog, datasets[:1], run_id)
        catalog.give_back([GivenBack(job_id, ERROR, batch_limit=limit) for _, job_id in jobs], run_id, NOON)
        assert [catalog.job(job_id).batch_limit for _, job_id in named(catalog, datasets[:2])] == [known, known]


def test_a_worker_whose_job_was_given_back_publishes_and_serves_nothing_more(catalog: Catalog, datasets: list[Dataset]) -> None:
    [attempt] = opened(catalog, datasets[:1])
    catalog.give_back([GivenBack(attempt.job.job_id, ERROR)], "run-1", NOON)
    [refusal] = catalog.publish_all([(product(attempt), attempt.job.job_id)], NOON)
    assert refusal is not None
    assert refusal.code == "attempt.fenced"


def test_runs_are_listed_as_long_as_something_is_to_be_said_of_their_jobs(catalog: Catalog, datasets: list[Dataset]) -> None:
    """Queued, then processing, then ended but not told; a run of one dataset when it has completed its job."""
    alone = registered(catalog, "alone")
    assert catalog.carried_runs() == []
    catalog.attach_batch("batch-1", "run-1")
    assert catalog.carried_runs() == [CarriedRun("run-1", NOON, has_begun=False)]
    attempts = opened(catalog, datasets)
    assert catalog.carried_runs() == [CarriedRun("run-1", NOON, has_begun=True)]
    catalog.close_jobs([Ending(attempt.job.job_id, JobState.COMPLETED) for attempt in attempts], NOON)
    assert catalog.carried_runs() == [CarriedRun("run-1", NOON, has_begun=True)]
    untold = catalog.untold_jobs("run-1")
    assert [job.dataset_id for job in untold] == [dataset.dataset_id for dataset in datasets]
    catalog.mark_told([job.job_id for job in untold])
    assert (catalog.untold_jobs("run-1"), catalog.carried_runs()) == ([], [])
    job_id = begun(catalog, alone, "run-2").job.job_id
    catalog.close_job(job_id, JobState.COMPLETED, None, NOON)
    assert [run.run_id for run in catalog.carried_runs()] == ["run-2"]
    catalog.mark_told([job.job_id for job in catalog.untold_jobs("run-2")])
    assert catalog.carried_runs() == []


def test_many_products_are_published_at_once_of_each_dataset_all_or_none(catalog: Catalog, datasets: list[Dataset]) -> None:
    good, failed, canceled, overtaken = opened(catalog, datasets)
    catalog.close_job(canceled.job.job_id, JobState.CANCELED, None, NOON)
    begun(catalog, overtaken.dataset, "run-2")
    products = [
        (product(attempt, stage, passed=stage is Stage.RAW_OBJECT or attempt is not failed), attempt.job.job_id)
        for attempt in (good, failed, canceled, overtaken)
        for stage in (Stage.RAW_OBJECT, Stage.STAGED_PARQUET)
    ]
    outcomes = catalog.publish_all(products, NOON)
    assert ["" if outcome is None else outcome.code for outcome in outcomes] == [""] * 4 + ["attempt.fenced"] * 4
    records = [catalog.stage(attempt.dataset.dataset_id, Stage.STAGED_PARQUET) for attempt in (good, failed, canceled)]
    assert [record and record.passed for record in records] == [True, False, None]
    progress = [(job.stage, job.progress_percent) for job in (catalog.job(a.job.job_id) for a in (good, failed))]
    assert progress == [(Stage.STAGED_PARQUET, 25), (Stage.STAGED_PARQUET, 5)]
    assert catalog.publish_all(products[:4], LATER) == [None] * 4
    assert catalog.publish_all([], NOON) == []

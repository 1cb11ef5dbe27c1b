"""Requesting a run, retrying and canceling leave each job in one clear state."""

import pytest

from metricfoundry_dagster.actions.cancel import cancel
from metricfoundry_dagster.actions.register import Registration, Wishes, register_source
from metricfoundry_dagster.actions.request_run import request_run
from metricfoundry_dagster.actions.retry import retry
from metricfoundry_dagster.domain.errors import ConflictError, NotFoundError, UserError, WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.runs import RunState
from metricfoundry_dagster_tests.actions.conftest import World
from metricfoundry_dagster_tests.fakes.memory_runs import MemoryRuns


@pytest.fixture
def registered(world: World) -> Registration:
    """A dataset with a waiting job."""
    return register_source(world.ports, world.put("a.csv"), Wishes())


def request(world: World, registered: Registration) -> Job:
    return request_run(world.ports, world.runs, registered.job.job_id)


def test_a_waiting_job_is_submitted_once(world: World, registered: Registration) -> None:
    first, second = request(world, registered), request(world, registered)
    assert (first.state, first.run_id) == (JobState.QUEUED, "run-1")
    assert second == first
    assert len(world.runs.submitted) == 1


def refuse(_job: Job, _run_id: str) -> None:
    raise WorldError("dagster.refused", "no")


def test_a_job_waits_again_when_dagster_refuses_its_run(world: World, registered: Registration) -> None:
    with pytest.raises(WorldError):
        request_run(world.ports, MemoryRuns(refuse), registered.job.job_id)
    assert world.ports.catalog.job(registered.job.job_id).state is JobState.CREATED
    assert request(world, registered).state is JobState.QUEUED


def test_a_job_is_not_submitted_again_when_the_answer_was_lost(world: World, registered: Registration) -> None:
    """Dagster may have launched the run; somebody looks for it before there is another."""
    world.runs.away = True
    with pytest.raises(WorldError):
        request(world, registered)
    world.runs.away = False
    assert (request(world, registered).state, world.runs.submitted) == (JobState.QUEUED, [])


def test_a_dataset_whose_job_ended_can_be_retried(world: World, registered: Registration) -> None:
    world.ports.catalog.close_job(registered.job.job_id, JobState.FAILED, None, world.clock.now())
    job = retry(world.ports, world.runs, registered.dataset.dataset_id)
    assert (job.state, job.run_id, job.job_id != registered.job.job_id) == (JobState.QUEUED, "run-1", True)


def test_a_dataset_whose_run_was_lost_can_be_retried(world: World, registered: Registration) -> None:
    """Without a daemon nobody else closes the job of a killed worker."""
    lost = request(world, registered)
    world.ports.catalog.open_job(lost.dataset_id, "run-1", lost.job_id, None, world.clock.now())
    world.runs.states["run-1"] = RunState.FAILED
    job = retry(world.ports, world.runs, lost.dataset_id)
    assert (job.state, job.run_id, job.job_id != lost.job_id) == (JobState.QUEUED, "run-2", True)
    closed = world.ports.catalog.job(lost.job_id)
    assert closed.error
    assert closed.error.code == "worker.died"


@pytest.mark.parametrize("away", [True, False])
def test_a_dataset_whose_run_may_go_on_cannot_be_retried(world: World, registered: Registration, *, away: bool) -> None:
    request(world, registered)
    world.runs.away = away
    with pytest.raises(ConflictError, match=r"job\.not_retryable"):
        retry(world.ports, world.runs, registered.dataset.dataset_id)


def test_a_job_that_waits_is_begun_by_a_retry(world: World, registered: Registration) -> None:
    """It may be held back for a server that is there again by now."""
    job = retry(world.ports, world.runs, registered.dataset.dataset_id)
    assert (job.job_id, job.state, job.run_id) == (registered.job.job_id, JobState.QUEUED, "run-1")


def test_a_job_under_way_cannot_be_retried(world: World, registered: Registration) -> None:
    world.ports.catalog.claim_job(registered.job.job_id, world.clock.now())
    with pytest.raises(ConflictError, match=r"job\.not_retryable"):
        retry(world.ports, world.runs, registered.dataset.dataset_id)


def test_canceling_ends_the_job_and_its_run(world: World, registered: Registration) -> None:
    request(world, registered)
    job = cancel(world.ports, world.runs, registered.dataset.dataset_id)
    assert (job.state, job.error.code if job.error else None) == (JobState.CANCELED, "job.canceled")
    assert world.runs.canceled == ["run-1"]


def test_a_job_that_waits_is_canceled_without_a_run(world: World, registered: Registration) -> None:
    assert cancel(world.ports, world.runs, registered.dataset.dataset_id).state is JobState.CANCELED
    assert world.runs.canceled == []


def test_a_canceled_job_is_canceled_even_if_its_run_cannot_be_told(world: World, registered: Registration) -> None:
    request(world, registered)
    world.runs.away = True
    assert cancel(world.ports, world.runs, registered.dataset.dataset_id).state is JobState.CANCELED


def test_a_run_goes_on_while_it_carries_other_jobs(world: World, registered: Registration) -> None:
    other = register_source(world.ports, world.put("b.csv"), Wishes())
    for each in (registered, other):
        dataset_id, job_id = each.dataset.dataset_id, each.job.job_id
        world.ports.catalog.open_job(dataset_id, "batch", job_id, None, world.clock.now())
    cancel(world.ports, world.runs, registered.dataset.dataset_id)
    assert world.runs.canceled == []
    cancel(world.ports, world.runs, other.dataset.dataset_id)
    assert world.runs.canceled == ["batch"]


def test_a_job_that_has_ended_cannot_be_canceled(world: World, registered: Registration) -> None:
    world.ports.catalog.close_job(registered.job.job_id, JobState.COMPLETED, None, world.clock.now())
    with pytest.raises(ConflictError, match="is completed"):
        cancel(world.ports, world.runs, registered.dataset.dataset_id)


@pytest.mark.parametrize("action", [retry, cancel])
@pytest.mark.parametrize(("dataset_id", "error"), [("sales--aaaaaaaaaaaaaaaa", NotFoundError), ("../../etc", UserError)])
def test_what_does_not_exist_is_refused(world: World, action: object, dataset_id: str, error: type[UserError]) -> None:
    assert callable(action)
    with pytest.raises(error):
        action(world.ports, world.runs, dataset_id)

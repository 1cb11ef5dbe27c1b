"""Jobs are submitted a few at a time and watched to their end, even if their run does not live to say so."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.cli.carry_out import carry_out
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import RunState
from metricfoundry_dagster_tests.cli.sources_only import ports_without_files
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_runs import MemoryRuns

LOST_AFTER = timedelta(seconds=60)
A_LOOK = timedelta(seconds=3)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def ports(tmp_path: Path, clock: FixedClock) -> Ports:
    return ports_without_files(tmp_path, clock)


def register(ports: Ports, count: int) -> list[Job]:
    """So many datasets with a waiting job."""
    uris = [f"memory://uploads/{position}.csv" for position in range(count)]
    return [register_source(ports, uri, Wishes(datasource=f"d{position}")).job for position, uri in enumerate(uris)]


def wait_for(ports: Ports, runs: MemoryRuns, jobs: Sequence[Job], clock: FixedClock) -> list[Job]:
    """Two at once. Nobody waits really: the clock is moved."""
    moved = {"watch": lambda _: None, "sleep": lambda _: clock.advance(A_LOOK)}
    return carry_out(ports, runs, jobs, at_once=2, lost_after=LOST_AFTER, **moved)


def test_all_jobs_end_in_order(ports: Ports, clock: FixedClock) -> None:
    states = [JobState.COMPLETED, JobState.FAILED, JobState.COMPLETED]
    jobs = register(ports, 3)
    endings = {job.job_id: state for job, state in zip(jobs, states, strict=True)}
    runs = MemoryRuns(lambda job, _: ports.catalog.close_job(job.job_id, endings[job.job_id], None, clock.now()))
    assert [job.state for job in wait_for(ports, runs, jobs, clock)] == states


def test_no_more_than_so_many_run_at_once(ports: Ports, clock: FixedClock) -> None:
    jobs = register(ports, 5)
    runs = MemoryRuns()
    most = 0

    def watch(job: Job) -> None:
        nonlocal most
        queued = [each for each in jobs if ports.catalog.job(each.job_id).state is JobState.QUEUED]
        most = max(most, len(queued))
        ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now())

    carry_out(ports, runs, jobs, at_once=2, lost_after=LOST_AFTER, watch=watch, sleep=lambda _: None)
    assert (most, len(runs.submitted)) == (2, 5)


def test_a_run_that_ended_without_a_word_fails_its_job(ports: Ports, clock: FixedClock) -> None:
    jobs = register(ports, 1)
    dead = MemoryRuns(lambda _job, run_id: dead.states.update({run_id: RunState.FAILED}))
    job = wait_for(ports, dead, jobs, clock)[0]
    assert (job.state, job.error.code if job.error else None) == (JobState.FAILED, "worker.died")


def test_a_job_whose_claimer_died_is_submitted_after_a_while(ports: Ports, clock: FixedClock) -> None:
    jobs = register(ports, 1)
    assert ports.catalog.claim_job(jobs[0].job_id, clock.now())
    runs = MemoryRuns(lambda job, _: ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now()))
    begun_at = clock.now()
    assert wait_for(ports, runs, jobs, clock)[0].state is JobState.COMPLETED
    assert clock.now() - begun_at > LOST_AFTER


def test_a_job_that_somebody_else_carries_is_only_watched(ports: Ports, clock: FixedClock) -> None:
    job = register(ports, 1)[0]
    ports.catalog.open_job(job.dataset_id, "elsewhere", job.job_id, None, clock.now())
    looks = count(1)

    def watch(_: Job) -> None:
        if next(looks) == 3:
            ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now())

    runs = MemoryRuns()
    ended = carry_out(ports, runs, [job], at_once=1, lost_after=LOST_AFTER, watch=watch, sleep=lambda _: clock.advance(A_LOOK))
    assert (ended[0].state, runs.submitted) == (JobState.COMPLETED, [])


def test_a_dagster_that_is_away_is_told(ports: Ports, clock: FixedClock) -> None:
    jobs = register(ports, 1)
    runs = MemoryRuns()
    runs.away = True
    with pytest.raises(WorldError):
        wait_for(ports, runs, jobs, clock)
    assert ports.catalog.job(jobs[0].job_id).state is JobState.CREATED

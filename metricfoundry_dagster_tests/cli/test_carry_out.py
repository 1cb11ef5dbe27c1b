"""Jobs are submitted a few at a time and watched to their end, even if their run does not live to say so."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.recover import MAX_DEATHS, recover
from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.cli.carry_out import Ending, Watcher, carry_out, carry_out_with_bars
from metricfoundry_dagster.cli.open_home import OpenHome
from metricfoundry_dagster.domain.errors import ErrorRecord, Place
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import GivenBack
from metricfoundry_dagster.ports.runs import RunState
from metricfoundry_dagster.settings import Settings
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


def wait_for(
    ports: Ports, runs: MemoryRuns, jobs: Sequence[Job], clock: FixedClock, watch: Watcher = lambda _: None
) -> list[Ending]:
    """Two at once. Nobody waits really: the clock is moved."""
    return carry_out(ports, runs, jobs, at_once=2, lost_after=LOST_AFTER, watch=watch, sleep=lambda _: clock.advance(A_LOOK))


def code_of(ending: Ending) -> str | None:
    return ending.error.code if ending.error else None


class Dying(MemoryRuns):
    """Runs of which the first so many end without a word, and the others complete their job."""

    def __init__(self, ports: Ports, deaths: int) -> None:
        super().__init__(self._play)
        self._ports = ports
        self._deaths = deaths

    def _play(self, job: Job, run_id: str) -> None:
        self._ports.catalog.open_job(job.dataset_id, run_id, job.job_id, None, self._ports.clock.now())
        if len(self.submitted) <= self._deaths:
            self.states[run_id] = RunState.FAILED
        else:
            self._ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, self._ports.clock.now())


def test_all_jobs_end_in_order(ports: Ports, clock: FixedClock) -> None:
    states = [JobState.COMPLETED, JobState.FAILED, JobState.COMPLETED]
    jobs = register(ports, 3)
    endings = {job.job_id: state for job, state in zip(jobs, states, strict=True)}
    runs = MemoryRuns(lambda job, _: ports.catalog.close_job(job.job_id, endings[job.job_id], None, clock.now()))
    assert [ending.job.state for ending in wait_for(ports, runs, jobs, clock)] == states


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


def test_a_dataset_whose_worker_died_is_taken_up_again_and_watched_on(ports: Ports, clock: FixedClock) -> None:
    jobs = register(ports, 1)
    ending = wait_for(ports, Dying(ports, deaths=1), jobs, clock)[0]
    assert (ending.job.state, ending.error, ending.job.attempt) == (JobState.COMPLETED, None, 2)
    assert [job.state for job in ports.catalog.jobs_of(jobs[0].dataset_id)] == [JobState.COMPLETED, JobState.FAILED]


def test_a_worker_that_dies_again_and_again_is_left_to_a_person(ports: Ports, clock: FixedClock) -> None:
    runs = Dying(ports, deaths=99)
    ending = wait_for(ports, runs, register(ports, 1), clock)[0]
    assert (ending.job.state, code_of(ending), len(runs.submitted)) == (JobState.FAILED, "worker.died", MAX_DEATHS)


def test_what_a_daemon_took_up_again_is_watched_on(ports: Ports, clock: FixedClock) -> None:
    """The daemon saw the death first, and submitted the new job itself."""
    job, seen = register(ports, 1)[0], []

    def watch(watched: Job) -> None:
        seen.append(watched.job_id)
        if len(seen) == 1:
            newer = recover(ports, ports.catalog.job(job.job_id), RunState.FAILED)
            assert newer
            assert newer.successor
            ports.catalog.open_job(job.dataset_id, "daemons", newer.successor.job_id, None, clock.now())
        elif watched.job_id != job.job_id:
            ports.catalog.close_job(watched.job_id, JobState.COMPLETED, None, clock.now())

    runs = MemoryRuns()
    ending = wait_for(ports, runs, [job], clock, watch)[0]
    assert (ending.job.state, ending.job.run_id, len(runs.submitted)) == (JobState.COMPLETED, "daemons", 1)


def test_a_job_that_was_given_back_is_begun_again_when_it_may_be(ports: Ports, clock: FixedClock) -> None:
    """Its first run found the store away: the next one has to wait for a while, and is watched as well."""
    hold, begun_at = timedelta(minutes=5), clock.now()

    def play(job: Job, run_id: str) -> None:
        ports.catalog.open_job(job.dataset_id, run_id, job.job_id, None, clock.now())
        if len(runs.submitted) == 1:
            away = ErrorRecord("store.unreachable", "the store is away", Place(), "")
            ports.catalog.give_back([GivenBack(job.job_id, away, held_until=clock.now() + hold)], run_id, clock.now())
        else:
            ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now())

    runs = MemoryRuns(play)
    ending = wait_for(ports, runs, register(ports, 1), clock)[0]
    assert (ending.job.state, ending.error, len(runs.submitted)) == (JobState.COMPLETED, None, 2)
    assert hold <= clock.now() - begun_at < 2 * hold


def test_a_run_that_nobody_knows_is_not_watched_for_ever(ports: Ports, clock: FixedClock) -> None:
    """Of a daemon that is gone: its worker may live on, so the job is left as it is."""
    lost, other = register(ports, 2)
    ports.catalog.open_job(lost.dataset_id, "elsewhere", lost.job_id, None, clock.now())
    runs = MemoryRuns(lambda job, _: ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now()))
    begun_at = clock.now()
    ending, well = wait_for(ports, runs, [lost, other], clock)
    assert (code_of(ending), ending.job.state, well.job.state) == ("dagster.unreachable", JobState.PROCESSING, JobState.COMPLETED)
    assert clock.now() - begun_at > LOST_AFTER
    assert ending.error
    assert "metricfoundry up" in ending.error.hint


def test_a_run_that_nobody_knows_is_watched_while_it_makes_progress(ports: Ports, clock: FixedClock) -> None:
    job = register(ports, 1)[0]
    ports.catalog.open_job(job.dataset_id, "elsewhere", job.job_id, None, clock.now())
    percents = iter(range(1, 90))

    def watch(_: Job) -> None:
        if (percent := next(percents, None)) is None:
            ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now())
        else:
            ports.catalog.report_progress(job.job_id, Stage.RAW_OBJECT, percent)

    assert wait_for(ports, MemoryRuns(), [job], clock, watch)[0].job.state is JobState.COMPLETED


def test_a_web_server_that_starts_again_does_not_end_the_wait(ports: Ports, clock: FixedClock) -> None:
    job, runs, looks = register(ports, 1)[0], MemoryRuns(), count(1)

    def watch(_: Job) -> None:
        look = next(looks)
        runs.away = look in {1, 2, 3}
        if look == 6:
            ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now())

    assert wait_for(ports, runs, [job], clock, watch)[0].job.state is JobState.COMPLETED


def test_a_run_whose_submitter_died_is_found_by_its_job(ports: Ports, clock: FixedClock) -> None:
    """Or the answer to the submission was lost. A second run would be in vain."""
    job, runs = register(ports, 1)[0], MemoryRuns()
    assert ports.catalog.claim_job(job.job_id, clock.now())
    run_id = runs.submit(job)

    def watch(watched: Job) -> None:
        if watched.run_id == run_id:
            ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now())

    ending = wait_for(ports, runs, [job], clock, watch)[0]
    assert (ending.job.state, len(runs.submitted)) == (JobState.COMPLETED, 1)


def test_whoever_stops_waiting_is_told_what_goes_on(
    ports: Ports, tmp_path: Path, clock: FixedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    def press_ctrl_c(_job: Job, _run_id: str) -> None:
        if len(runs.submitted) == 2:
            raise KeyboardInterrupt

    jobs, runs = register(ports, 3), MemoryRuns(press_ctrl_c)
    home = OpenHome(Settings(home=tmp_path, max_concurrent_runs=2), ports, runs)
    with pytest.raises(KeyboardInterrupt):
        carry_out_with_bars(home, [("file", job) for job in jobs])
    told = capsys.readouterr().err
    assert [f"datasets cancel {job.dataset_id}`" in told for job in jobs] == [True, True, False]
    assert f"{jobs[2].dataset_id} waits for `metricfoundry up`" in told


def test_a_job_whose_claimer_died_is_submitted_after_a_while(ports: Ports, clock: FixedClock) -> None:
    jobs = register(ports, 1)
    assert ports.catalog.claim_job(jobs[0].job_id, clock.now())
    runs = MemoryRuns(lambda job, _: ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, clock.now()))
    begun_at = clock.now()
    assert wait_for(ports, runs, jobs, clock)[0].job.state is JobState.COMPLETED
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
    assert (ended[0].job.state, runs.submitted) == (JobState.COMPLETED, [])


def test_a_dagster_that_is_away_is_told(ports: Ports, clock: FixedClock) -> None:
    jobs = register(ports, 1)
    runs = MemoryRuns()
    runs.away = True
    assert code_of(wait_for(ports, runs, jobs, clock)[0]) == "dagster.unreachable"

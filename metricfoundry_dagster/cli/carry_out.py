"""Carry jobs out and watch them to their end: what `ingest --wait` and `datasets retry --wait` do.

A run that ended without closing its job is noticed here too, because nobody else may be watching. Whoever notices
it, the job that takes its place is watched on.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from metricfoundry_dagster.actions.recover import recover
from metricfoundry_dagster.actions.request_run import request_run
from metricfoundry_dagster.cli.open_home import OpenHome
from metricfoundry_dagster.cli.output import say
from metricfoundry_dagster.cli.progress_bars import job_bars
from metricfoundry_dagster.domain.errors import ErrorRecord, WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs, RunState

_POLL_SECONDS = 0.2
#: The run's state costs a request; the job's state is asked more often.
_RUN_CHECK_INTERVAL = timedelta(seconds=2)

Watcher = Callable[[Job], None]


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a job, or of the one that took its place. `error` is the job's, or why nobody watches it any more."""

    job: Job
    error: ErrorRecord | None


def carry_out(
    ports: Ports,
    runs: Runs,
    jobs: Sequence[Job],
    *,
    at_once: int,
    lost_after: timedelta,
    watch: Watcher,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Ending]:
    """Request a run for each job, `at_once` at a time, and wait until all have ended; they come back in order.

    A job that somebody else carries is only watched. `watch` is told at every look. What the world does to one job
    is that one's error, such as `dagster.unreachable`; it may go on all the same, and so do the others.
    """
    all_watched = [_Watched(job, ports, runs, lost_after) for job in jobs]
    waiting = list(all_watched)
    watched: list[_Watched] = []
    while waiting or watched:
        while waiting and len(watched) < at_once:
            watched.append(waiting.pop(0))
            watched[-1].look()
        for each in watched:
            if each.ending is None:
                each.look()
            watch(each.job)
        watched = [each for each in watched if each.ending is None]
        if watched:
            sleep(_POLL_SECONDS)
    return [each.ending for each in all_watched if each.ending]


def carry_out_with_bars(home: OpenHome, named_jobs: Sequence[tuple[str, Job]]) -> list[Ending]:
    """The same with a bar for each job, named as given, and the bounds of the settings."""
    settings, jobs = home.settings, [job for _, job in named_jobs]
    lost_after = timedelta(seconds=settings.job_lost_after_seconds)
    at_once = settings.max_concurrent_runs
    try:
        with job_bars({job.dataset_id: name for name, job in named_jobs}) as watch:
            return carry_out(home.ports, home.runs, jobs, at_once=at_once, lost_after=lost_after, watch=watch)
    except KeyboardInterrupt:
        _say_what_goes_on(home.ports, jobs)
        raise


class _Watched:
    """One job on its way to its `ending`, which is None until then."""

    def __init__(self, job: Job, ports: Ports, runs: Runs, lost_after: timedelta) -> None:
        self.job = job
        self.ending: Ending | None = None
        self._ports = ports
        self._runs = runs
        self._lost_after = lost_after
        self._is_begun = False
        #: When the job may be begun; those that were asked for may be at once.
        self._held_until: datetime | None = None
        self._checked_at = self._heard_at = ports.clock.now()
        self._run_ended = False

    def look(self) -> None:
        """Begin the job, or see how far it is, and do what nobody else may do for it."""
        try:
            now = self._ports.clock.now()
            if not self._is_begun and (self._held_until is None or self._held_until <= now):
                self._begin(self.job)
            self._refresh()
            if self._is_begun and not self.job.state.ended and now - self._checked_at >= _RUN_CHECK_INTERVAL:
                self._checked_at = now
                self._check_run(now)
        except WorldError as error:
            self.ending = Ending(self.job, error.record)
        else:
            self.ending = Ending(self.job, self.job.error) if self.job.state.ended else None

    def _begin(self, job: Job) -> None:
        self.job, self._is_begun, self._run_ended = request_run(self._ports, self._runs, job.job_id), True, False
        self._checked_at = self._heard_at = self._ports.clock.now()

    def _refresh(self) -> None:
        """See the job as it is now; one that failed is left for the job that takes its place, if there is one."""
        before, self.job = self.job, self._ports.catalog.job(self.job.job_id)
        if self.job != before:
            self._heard_at = self._ports.clock.now()
        if self.job.state is JobState.FAILED:
            newest = self._ports.catalog.jobs_of(self.job.dataset_id)[0]
            if newest.job_id != self.job.job_id:
                self.job, self._is_begun, self._held_until = newest, False, newest.held_until

    def _check_run(self, now: datetime) -> None:
        if self.job.run_id is None:
            if now - self._heard_at > self._lost_after:
                self._find_run()
            return
        state = self._state(self.job.run_id)
        if state is RunState.UNKNOWN:
            if now - self._heard_at > self._lost_after:
                raise _nobody_knows(self.job)
            return
        self._heard_at = now
        if state.ended and self._run_ended:
            # Seen twice: a run that has just ended may still be about to close its job.
            recover(self._ports, self.job, state)
            self._refresh()
        else:
            self._run_ended = state.ended

    def _find_run(self) -> None:
        """Whoever claimed the job died before noting its run: note it, or ask for another when there is none."""
        run_id = self._runs.run_of(self.job)
        if run_id is not None:
            self._ports.catalog.attach_run(self.job.job_id, run_id)
        else:
            self._ports.catalog.release_job(self.job.job_id)
            self._begin(self.job)

    def _state(self, run_id: str) -> RunState:
        try:
            return self._runs.state(run_id)
        except WorldError:
            # One question without an answer says nothing of the run: a web server may be starting again.
            return RunState.UNKNOWN


def _nobody_knows(job: Job) -> WorldError:
    message = f"nobody here knows what run {job.run_id} of {job.dataset_id} is doing, and it makes no progress"
    hint = "Start `metricfoundry up`: it goes on with what was begun, and takes up again what was lost."
    return WorldError("dagster.unreachable", message, hint=hint)


def _say_what_goes_on(ports: Ports, jobs: Sequence[Job]) -> None:
    with suppress(WorldError):
        for dataset_id in dict.fromkeys(job.dataset_id for job in jobs):
            state = ports.catalog.jobs_of(dataset_id)[0].state
            if state is JobState.CREATED:
                say(f"{dataset_id} waits for `metricfoundry up`, or for `ingest` of the same file.")
            elif not state.ended:
                say(f"{dataset_id} goes on by itself; `metricfoundry datasets cancel {dataset_id}` ends it.")

"""Carry jobs out and watch them to their end: what `ingest --wait` and `datasets retry --wait` do.

A run that ended without closing its job is noticed here, because nobody else may be watching.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metricfoundry_dagster.actions.request_run import request_run
from metricfoundry_dagster.cli.open_home import OpenHome
from metricfoundry_dagster.cli.progress_bars import job_bars
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs, RunState

_POLL_SECONDS = 0.2
#: The run's state costs a request; the job's state is asked more often.
_RUN_CHECK_INTERVAL = timedelta(seconds=2)
_RUN_ENDED = {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED}

Watcher = Callable[[Job], None]


@dataclass(slots=True)
class _Watched:
    """One job under way. `run_ended` says that its run was seen to have ended while the job had not."""

    job: Job
    started_at: datetime
    checked_at: datetime
    run_ended: bool = False


def carry_out(
    ports: Ports,
    runs: Runs,
    jobs: Sequence[Job],
    *,
    at_once: int,
    lost_after: timedelta,
    watch: Watcher,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Job]:
    """Request a run for each job, `at_once` at a time, and wait until all have ended; they come back in order.

    A job that somebody else carries is only watched. `watch` is told at every look.

    Raises:
        WorldError: when a run cannot be submitted, or the catalog is away; jobs that were begun go on.
    """
    waiting = list(jobs)
    watched: list[_Watched] = []
    ended: dict[str, Job] = {}
    while waiting or watched:
        while waiting and len(watched) < at_once:
            watched.append(_begin(ports, runs, waiting.pop(0)))
        for each in watched:
            _look(ports, runs, each, lost_after)
            watch(each.job)
        ended.update((each.job.job_id, each.job) for each in watched if each.job.state.ended)
        watched = [each for each in watched if not each.job.state.ended]
        if watched:
            sleep(_POLL_SECONDS)
    return [ended[job.job_id] for job in jobs]


def carry_out_with_bars(home: OpenHome, named_jobs: Sequence[tuple[str, Job]]) -> list[Job]:
    """The same with a bar for each job, named as given, and the bounds of the settings. Raises as `carry_out`."""
    settings, jobs = home.settings, [job for _, job in named_jobs]
    lost_after = timedelta(seconds=settings.job_lost_after_seconds)
    with job_bars({job.job_id: name for name, job in named_jobs}) as watch:
        return carry_out(home.ports, home.runs, jobs, at_once=settings.max_concurrent_runs, lost_after=lost_after, watch=watch)


def _begin(ports: Ports, runs: Runs, job: Job) -> _Watched:
    now = ports.clock.now()
    return _Watched(request_run(ports, runs, job.job_id), started_at=now, checked_at=now)


def _look(ports: Ports, runs: Runs, each: _Watched, lost_after: timedelta) -> None:
    each.job = ports.catalog.job(each.job.job_id)
    now = ports.clock.now()
    if each.job.state.ended or now - each.checked_at < _RUN_CHECK_INTERVAL:
        return
    each.checked_at = now
    run_id = each.job.run_id
    if run_id is None:
        if now - each.started_at > lost_after:
            # Whoever claimed the job died before its run was submitted.
            ports.catalog.release_job(each.job.job_id)
            each.job = request_run(ports, runs, each.job.job_id)
    elif each.run_ended:
        # Seen twice: a run that has just ended may still be about to close its job.
        message, hint = f"run {run_id} of {each.job.dataset_id} ended without a result", "Look at its log, then `datasets retry`."
        reason = WorldError("worker.died", message, hint=hint).record
        ports.catalog.close_job(each.job.job_id, JobState.FAILED, reason, now)
        each.job = ports.catalog.job(each.job.job_id)
    else:
        each.run_ended = runs.state(run_id) in _RUN_ENDED

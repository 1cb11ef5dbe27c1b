"""Which waiting jobs are to be submitted now: the claim that makes one run of each job or batch, whoever dies meanwhile."""

import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from metricfoundry_dagster.actions.gather import BatchRules, gather
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.bundle import Ports

#: Waiting jobs that one look gathers from; the rest is for the next.
_MAX_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How many runs may wait for a worker, and how long a claim may go without a run."""

    max_runs_per_look: int
    max_queued_runs: int
    #: With so many runs waiting, one more would not begin at once.
    workers: int
    lost_after: timedelta


@dataclass(frozen=True, slots=True)
class RunToStart:
    """A run to be asked for: a batch with its id, or one job alone. There is at least one job."""

    batch_id: str | None
    jobs: tuple[Job, ...]


def claim_waiting(
    ports: Ports, queue: QueueRules, batches: BatchRules, find_run: Callable[[Job], str | None]
) -> list[RunToStart]:
    """Claim created jobs, oldest first, as long as there is room for their runs; give the runs to ask for.

    A job that was claimed long ago and has no run is claimed again, unless `find_run` knows the run of the job, or of
    its batch: then the run is noted. The batch is noted with the claim. So a crash between claiming and submitting
    neither loses nor doubles a run.
    """
    to_start = _look_after_lost(ports, queue, find_run)
    queued = ports.catalog.queued_runs()
    room = min(queue.max_runs_per_look, queue.max_queued_runs - queued)
    if room <= 0:
        return to_start
    now = ports.clock.now()
    waiting = ports.catalog.waiting_jobs(_MAX_LOOKED_AT, now)
    companies = gather(waiting, batches, now, is_busy=queued >= queue.workers)[:room]
    batch_of = {
        job.job_id: batch_id
        for company in companies
        for batch_id in [uuid.uuid4().hex if len(company) > 1 else None]
        for job in company
    }
    return to_start + _runs_of(ports.catalog.claim_jobs(batch_of, now) if batch_of else [])


def _look_after_lost(ports: Ports, queue: QueueRules, find_run: Callable[[Job], str | None]) -> list[RunToStart]:
    """Runs to ask for again; those that were found are noted."""
    missing: list[RunToStart] = []
    for run in _runs_of(ports.catalog.reclaim_jobs(ports.clock.now(), queue.lost_after)):
        run_id = find_run(run.jobs[0])
        if run_id is None:
            missing.append(run)
        elif run.batch_id is None:
            ports.catalog.attach_run(run.jobs[0].job_id, run_id)
        else:
            ports.catalog.attach_batch(run.batch_id, run_id)
    return missing


def _runs_of(jobs: list[Job]) -> list[RunToStart]:
    """Claimed jobs by the run that is to carry them, in order."""
    together: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        together[job.batch_id or job.job_id].append(job)
    return [RunToStart(of_run[0].batch_id, tuple(of_run)) for of_run in together.values()]

"""Which waiting jobs are to be submitted now: the claim that makes one run of each job, whoever dies meanwhile."""

from collections.abc import Callable
from datetime import timedelta

from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter


def claim_waiting(
    ports: Ports, *, max_jobs: int, max_queued: int, lost_after: timedelta, find_run: Callable[[Job], str | None]
) -> list[Job]:
    """Claim created jobs, oldest first, as long as no more than `max_queued` wait for a free worker.

    A job that was claimed longer than `lost_after` ago and has no run is claimed again, unless `find_run` knows
    its run: then the run is noted. So a crash between claiming and submitting neither loses nor doubles a run.
    """
    queued = ports.catalog.datasets(DatasetFilter(state=JobState.QUEUED, limit=max_queued))
    room = max(min(max_jobs, max_queued - len(queued)), 0)
    jobs: list[Job] = []
    for job, was_claimed in ports.catalog.claim_jobs(room, ports.clock.now(), lost_after):
        run_id = find_run(job) if was_claimed else None
        if run_id is not None:
            ports.catalog.attach_run(job.job_id, run_id)
        else:
            jobs.append(job)
    return jobs

"""What Dagster's instance says about the runs that carry our jobs, in our words."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.runs import JOB_ID_TAG, RunState

_STATES = {
    dg.DagsterRunStatus.SUCCESS: RunState.SUCCEEDED,
    dg.DagsterRunStatus.FAILURE: RunState.FAILED,
    dg.DagsterRunStatus.CANCELED: RunState.CANCELED,
    dg.DagsterRunStatus.STARTED: RunState.RUNNING,
    dg.DagsterRunStatus.CANCELING: RunState.RUNNING,
}


def run_states(jobs: Sequence[Job], instance: dg.DagsterInstance, *, known_since: datetime) -> dict[str, RunState]:
    """The state of each job's run, by job id, in one query.

    A run that Dagster does not know was deleted, and counts as failed. But a process of its own notes its run id
    some seconds before it records the run: a queued job that was claimed after `known_since` may still be starting.
    """
    run_ids = sorted({job.run_id for job in jobs if job.run_id is not None})
    found: dict[str, RunState] = {}
    if run_ids:
        for record in instance.get_run_records(dg.RunsFilter(run_ids=run_ids)):
            run = record.dagster_run
            found[run.run_id] = _STATES.get(run.status, RunState.WAITING)
    return {job.job_id: found.get(job.run_id or "") or _without_run(job, known_since) for job in jobs}


def _without_run(job: Job, known_since: datetime) -> RunState:
    is_starting = job.state is JobState.QUEUED and job.claimed_at is not None and job.claimed_at > known_since
    return RunState.UNKNOWN if is_starting else RunState.FAILED


def run_carrying(job: Job, instance: dg.DagsterInstance) -> str | None:
    """The id of the run that was created for a job, None when there is none."""
    runs = instance.get_runs(dg.RunsFilter(tags={JOB_ID_TAG: job.job_id}), limit=1)
    return runs[0].run_id if runs else None

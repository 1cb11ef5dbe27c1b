"""What Dagster's instance says about the runs that carry our jobs, in our words."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.catalog import CarriedRun
from metricfoundry_dagster.ports.runs import BATCH_ID_TAG, JOB_ID_TAG, RunState

_ASKED_AT_ONCE = 1_000

_STATES = {
    dg.DagsterRunStatus.SUCCESS: RunState.SUCCEEDED,
    dg.DagsterRunStatus.FAILURE: RunState.FAILED,
    dg.DagsterRunStatus.CANCELED: RunState.CANCELED,
    dg.DagsterRunStatus.STARTED: RunState.RUNNING,
    dg.DagsterRunStatus.CANCELING: RunState.RUNNING,
}


def run_states(carried: Sequence[CarriedRun], instance: dg.DagsterInstance, *, known_since: datetime) -> dict[str, RunState]:
    """The state of each run, by its id, in few queries.

    A run that Dagster does not know was deleted, and counts as failed. But a process of its own notes its run id
    some seconds before it records the run: one whose job was claimed after `known_since` may still be starting.
    """
    found: dict[str, RunState] = {}
    for start in range(0, len(carried), _ASKED_AT_ONCE):
        run_ids = [run.run_id for run in carried[start : start + _ASKED_AT_ONCE]]
        for record in instance.get_run_records(dg.RunsFilter(run_ids=run_ids)):
            run = record.dagster_run
            found[run.run_id] = _STATES.get(run.status, RunState.WAITING)
    return {run.run_id: found.get(run.run_id) or _without_run(run, known_since) for run in carried}


def _without_run(carried: CarriedRun, known_since: datetime) -> RunState:
    is_starting = not carried.has_begun and carried.claimed_at is not None and carried.claimed_at > known_since
    return RunState.UNKNOWN if is_starting else RunState.FAILED


def run_carrying(job: Job, instance: dg.DagsterInstance) -> str | None:
    """The id of the run that was created for a job, or for the batch that it is in; None when there is none."""
    tags = {JOB_ID_TAG: job.job_id} if job.batch_id is None else {BATCH_ID_TAG: job.batch_id}
    runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
    return runs[0].run_id if runs else None

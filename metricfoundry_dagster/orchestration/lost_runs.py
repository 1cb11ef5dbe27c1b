"""Runs that ended without a word about their datasets: their jobs are looked after, and what they did is told late.

What becomes of a job is decided in `actions/recover.py` and `actions/recover_batch.py`.
"""

import logging

import dagster as dg

from metricfoundry_dagster.actions.recover import Recovery, recover
from metricfoundry_dagster.actions.recover_batch import BatchRecovery, recover_batch
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.orchestration.batch_events import tell
from metricfoundry_dagster.orchestration.batch_job import batch_run
from metricfoundry_dagster.orchestration.event_writer import partitions_told
from metricfoundry_dagster.orchestration.late_events import tell_what_is_missing, what_can_be_told
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import RunState

#: States that no other follows.


def look_after(run_id: str, state: RunState, instance: dg.DagsterInstance, ports: Ports, log: logging.Logger) -> None:
    """Close or give back the jobs of an ended run that have not ended; tell Dagster of what it did and could not say."""
    jobs = ports.catalog.jobs_of_run(run_id)
    if any(job.batch_id is not None for job in jobs):
        recovered = recover_batch(ports, run_id, jobs, state)
        if recovered is not None:
            log.warning("batch %s ended before its datasets were done; %s", run_id, _fate_of_batch(recovered))
        _tell_late(run_id, instance, ports)
        return
    for job in jobs:
        recovery = None if job.state.ended else recover(ports, job, state)
        if recovery is not None:
            log.warning("%s: run %s ended without closing its job; %s", job.dataset_id, run_id, _fate(recovery))
    _tell_what_is_missing(run_id, state, instance, ports)


def _tell_late(run_id: str, instance: dg.DagsterInstance, ports: Ports) -> None:
    """A worker may die between the end of its datasets and the event log; a run that was deleted is told of no more."""
    untold = ports.catalog.untold_jobs(run_id)
    run = instance.get_run_by_id(run_id) if untold else None
    if run is not None:
        told = partitions_told(run_id, instance)
        missing = [what_can_be_told(job, ports) for job in untold if job.dataset_id not in told]
        tell(missing, batch_run(run), instance, ports)
    if untold:
        ports.catalog.mark_told([job.job_id for job in untold])


def _tell_what_is_missing(run_id: str, state: RunState, instance: dg.DagsterInstance, ports: Ports) -> None:
    """A run of one dataset tells of itself; only one that did not come to its end may have left something unsaid."""
    untold = ports.catalog.untold_jobs(run_id)
    run = instance.get_run_by_id(run_id) if untold and state is not RunState.SUCCEEDED else None
    if run is not None:
        for job in untold:
            tell_what_is_missing(job, run, instance, ports)
    if untold:
        ports.catalog.mark_told([job.job_id for job in untold])


def _fate(recovery: Recovery) -> str:
    if recovery.successor is not None:
        return "the dataset is taken up again"
    if recovery.lost.state is JobState.COMPLETED:
        return f"it had a part to do, up to {recovery.lost.progress_percent} %, and did it"
    return f"the job is {recovery.lost.state}, and the dataset is left to a person"


def _fate_of_batch(recovery: BatchRecovery) -> str:
    suspect = f"{recovery.suspect.dataset_id} was under way and goes on alone, " if recovery.suspect is not None else ""
    return f"{suspect}{recovery.given_back} datasets wait for another batch, {recovery.ended} jobs were closed"

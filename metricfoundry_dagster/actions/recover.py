"""Recover jobs whose run ended without closing them: the worker died, or was ended from outside."""

from dataclasses import dataclass

from metricfoundry_dagster.domain.errors import ConflictError, ErrorRecord, WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import RunState

#: A dataset whose worker dies this often in a row is left to a person: it may be what kills the worker.
MAX_DEATHS = 3


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of one lost job. `successor` takes its dataset up again; None leaves it to a person."""

    lost: Job
    successor: Job | None


def recover(ports: Ports, job: Job, run_state: RunState) -> Recovery | None:
    """Close a processing job whose run has ended, and request a new one when its worker died.

    None when there is nothing to do: the run goes on, or the job was closed meanwhile.
    """
    if run_state not in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED}:
        return None
    canceled = run_state is RunState.CANCELED
    state = JobState.CANCELED if canceled else JobState.FAILED
    if not ports.catalog.close_job(job.job_id, state, _reason(job, canceled=canceled), ports.clock.now()):
        return None
    if canceled or _deaths_in_a_row(job.dataset_id, ports) >= MAX_DEATHS:
        return Recovery(ports.catalog.job(job.job_id), None)
    try:
        successor = ports.catalog.request_job(job.dataset_id, ports.clock.now())
    except ConflictError:  # somebody retried the dataset in this very moment
        successor = None
    return Recovery(ports.catalog.job(job.job_id), successor)


def _reason(job: Job, *, canceled: bool) -> ErrorRecord:
    if canceled:
        return ConflictError("job.canceled", f"run {job.run_id} was canceled").record
    return WorldError("worker.died", f"run {job.run_id} ended without closing its job").record


def _deaths_in_a_row(dataset_id: str, ports: Ports) -> int:
    deaths = 0
    for job in ports.catalog.jobs_of(dataset_id):
        if job.error is None or job.error.code != "worker.died":
            break
        deaths += 1
    return deaths

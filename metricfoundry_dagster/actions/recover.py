"""Recover jobs whose run ended without closing them: the worker died, was ended from outside, or had a part to do."""

from dataclasses import dataclass
from itertools import dropwhile, islice, takewhile

from metricfoundry_dagster.domain.errors import ConflictError, ErrorRecord, WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import RunState

#: A dataset whose worker dies this often in a row is left to a person: it may be what kills the worker. Stopping the
#: instance ends workers too, so that a long job must outlive some stops.
MAX_DEATHS = 5


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of one lost job. `successor` takes its dataset up again; None leaves it to a person."""

    lost: Job
    successor: Job | None


def recover(ports: Ports, job: Job, run_state: RunState) -> Recovery | None:
    """Close a job whose run has ended, and put a new one in its place when the worker died.

    A run that succeeded without closing its job took the dataset through some of the stages only, as a person does
    who materializes one asset: its job is completed at the progress that it reached, and nothing follows.

    None when there is nothing to do: the run goes on, or the job was closed meanwhile.
    """
    if not run_state.ended:
        return None
    if run_state is RunState.CANCELED:
        reason = ConflictError("job.canceled", f"run {job.run_id} was canceled").record
        return _close(job, JobState.CANCELED, reason, ports)
    if run_state is RunState.SUCCEEDED and job.attempt:
        closed = ports.catalog.close_partial_job(job.job_id, ports.clock.now())
        return Recovery(ports.catalog.job(job.job_id), None) if closed else None
    error, is_last = death_of(job, ports)
    if is_last:
        return _close(job, JobState.FAILED, error, ports)
    # At once: whoever dies between closing and requesting would leave the dataset behind for ever.
    successor = ports.catalog.replace_job(job.job_id, error, ports.clock.now())
    return Recovery(ports.catalog.job(job.job_id), successor) if successor else None


def death_of(job: Job, ports: Ports) -> tuple[ErrorRecord, bool]:
    """The error of a job whose worker died, and whether it was the last try: after that it is left to a person."""
    message = f"run {job.run_id} ended without closing its job"
    if _deaths_before(job, ports) + 1 < MAX_DEATHS:
        return WorldError("worker.died", message).record, False
    hint = f"It died {MAX_DEATHS} times in a row: look at its log and its memory, then `datasets retry`."
    return WorldError("worker.died", message, hint=hint).record, True


def _close(job: Job, state: JobState, error: ErrorRecord | None, ports: Ports) -> Recovery | None:
    closed = ports.catalog.close_job(job.job_id, state, error, ports.clock.now())
    return Recovery(ports.catalog.job(job.job_id), None) if closed else None


def _deaths_before(job: Job, ports: Ports) -> int:
    """How many jobs of the dataset in a row, up to this one, ended because their worker died.

    Those whose batch ended for the sake of another dataset neither count nor break the row.
    """
    earlier = islice(dropwhile(lambda other: other.job_id != job.job_id, ports.catalog.jobs_of(job.dataset_id)), 1, None)
    codes = (other.error.code if other.error else "" for other in earlier)
    return sum(1 for _ in takewhile(lambda code: code == "worker.died", (code for code in codes if code != "batch.interrupted")))

"""Recover a batch whose run ended before all of its datasets were done. What one job alone goes through is in `recover.py`.

The dataset that was under way when the worker died may be what killed it: it alone counts a death, and goes on alone.
The others lose nothing but the work on their group. When it cannot be said which one it was, all go on in smaller
batches, until one is left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from metricfoundry_dagster.actions.recover import death_of
from metricfoundry_dagster.actions.shown_already import is_served, shown_already
from metricfoundry_dagster.domain.errors import ConflictError, WorldError
from metricfoundry_dagster.domain.jobs import MILESTONES_PERCENT, Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.pipeline.batch_flow import SMALLER_BY
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import Ending, GivenBack
from metricfoundry_dagster.ports.runs import RunState


@dataclass(frozen=True, slots=True)
class BatchRecovery:
    """What became of the unfinished jobs of one batch. `suspect` was under way when its worker died."""

    suspect: Job | None
    given_back: int
    ended: int


def recover_batch(ports: Ports, run_id: str, jobs: Sequence[Job], run_state: RunState) -> BatchRecovery | None:
    """Close or give back those jobs of an ended run that have not ended. `jobs` are all of the run, oldest first.

    Those that were served are completed; the others wait again, or are canceled as their run was. What readers see
    already is not canceled: another run finishes it.
    None when there is nothing to do.
    """
    unended = [job for job in jobs if not job.state.ended]
    if not unended or not run_state.ended:
        return None
    now = ports.clock.now()
    endings = [Ending(job.job_id, JobState.COMPLETED) for job in unended if is_served(job)]
    rest = [job for job in unended if not is_served(job)]
    if run_state is RunState.CANCELED:
        shown = shown_already(rest, ports)
        reason = ConflictError("job.canceled", f"run {run_id} was canceled").record
        endings += [Ending(job.job_id, JobState.CANCELED, reason) for job in rest if job not in shown]
        rest = shown
    ports.catalog.close_jobs(endings, now)
    suspect = _find_suspect(rest) if run_state is RunState.FAILED else None
    limit = _smaller(rest) if run_state is RunState.FAILED and suspect is None else None
    innocent = [_given_back(job, run_id, limit) for job in rest if job is not suspect]
    given_back = ports.catalog.give_back(innocent, run_id, now)
    # The suspect last: whoever dies before this finds it under way again.
    died = _bury(ports, suspect, run_id) if suspect is not None else 0
    return BatchRecovery(suspect, given_back, len(endings) + died)


def _find_suspect(rest: Sequence[Job]) -> Job | None:
    """The dataset that was under way: the last one that was begun, unless all that were begun wait to be served."""
    begun = [job for job in rest if _is_begun(job)]
    under_way = [job for job in begun if job.progress_percent < MILESTONES_PERCENT[Stage.PROFILE_REPORT]]
    if under_way:
        return under_way[-1]
    return begun[0] if len(begun) == 1 else None


def _smaller(rest: Sequence[Job]) -> int:
    """How many may go together the next time, when nobody can say which dataset it was."""
    return max(1, len([job for job in rest if _is_begun(job)] or rest) // SMALLER_BY)


def _is_begun(job: Job) -> bool:
    return job.state is JobState.PROCESSING and job.stage is not None


def _given_back(job: Job, run_id: str, limit: int | None) -> GivenBack:
    reason = WorldError("batch.interrupted", f"run {run_id} ended before {job.dataset_id} was done").record
    return GivenBack(job.job_id, reason, batch_limit=limit)


def _bury(ports: Ports, suspect: Job, run_id: str) -> int:
    """Let the suspect go on alone, unless its workers died too often; give how many jobs ended for good."""
    error, is_last = death_of(suspect, ports)
    if is_last:
        ports.catalog.close_jobs([Ending(suspect.job_id, JobState.FAILED, error)], ports.clock.now())
        return 1
    ports.catalog.give_back([GivenBack(suspect.job_id, error, batch_limit=1)], run_id, ports.clock.now())
    return 0

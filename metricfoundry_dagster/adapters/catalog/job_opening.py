"""How a run gets the job that it carries, whoever started it and whatever became of the run before.

The functions work inside the caller's transaction and hold the dataset's lock, so that two runs open one after
the other. At the end a dataset has at most one job that has not ended.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Connection, func, insert, select, update

from metricfoundry_dagster.adapters.catalog.rows import UNENDED, find_job, job_of, lock_dataset, new_job_row
from metricfoundry_dagster.adapters.catalog.schema import datasets, jobs
from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster.domain.errors import ConflictError, ErrorRecord, NotFoundError, Place
from metricfoundry_dagster.domain.jobs import Job, JobState

_WAITING = (JobState.CREATED, JobState.QUEUED)


def open_job(
    connection: Connection,
    dataset_id: str,
    run_id: str,
    *,
    job_id: str | None,
    parent_run_id: str | None,
    now: datetime,
    in_batch: bool = False,
) -> Job:
    """Give the run its job, processing; or, as it is, the one that this run began before.

    `in_batch` says that the run carries others as well, and that somebody must see to it that Dagster is told of all.

    Raises:
        NotFoundError: `dataset.not_found` for a dataset that is unknown, or that `job_id` does not belong to.
        ConflictError: `job.not_retryable` or `job.canceled`.
    """
    attempts_before = lock_dataset(connection, dataset_id)
    all_of = select(jobs).where(jobs.c.dataset_id == dataset_id).order_by(jobs.c.number.desc())
    of_dataset = [job_of(row) for row in connection.execute(all_of.with_for_update())]
    own = next((job for job in of_dataset if job.run_id == run_id), None)
    if own is not None and own.state not in _WAITING:
        _refuse_canceled(own)
        if not own.attempt:  # given up while the run was still starting
            raise belongs_elsewhere(own)
        return own
    waiting = own or _choose(connection, of_dataset, job_id=job_id, parent_run_id=parent_run_id, now=now)
    waiting_id = waiting.job_id if waiting else add_job(connection, dataset_id, now).job_id
    begun = {"run_id": run_id, "attempt": attempts_before + 1} | (mark_of_batch(run_id) if in_batch else {})
    return _begin(connection, dataset_id, waiting_id, begun)


def mark_of_batch(run_id: str) -> dict[str, object]:
    """What tells a job that is begun in a batch from others: the batch it was claimed for, else one that is named by the run."""
    return {"batch_id": func.coalesce(jobs.c.batch_id, uuid5(NAMESPACE_OID, run_id).hex), "told": False}


def end_job(
    connection: Connection, job_id: str, state: JobState, error: ErrorRecord | None, now: datetime, *, whole: bool = True
) -> bool:
    """End a job that has not ended; False when it has, or is unknown.

    A completed one has 100 percent if it is `whole`, and Dagster counts as not told of it until its run has ended well.
    """
    change = {"state": state, "ended_at": now, "error": error.to_json() if error else None}
    if state is JobState.COMPLETED and whole:
        change |= {"progress_percent": 100, "told": False}
    return connection.execute(update(jobs).where(jobs.c.job_id == job_id, jobs.c.state.in_(UNENDED)).values(change)).rowcount == 1


def add_job(connection: Connection, dataset_id: str, now: datetime, batch_limit: int | None = None) -> Job:
    """A new job in state created. The dataset must be locked, and have no job that has not ended."""
    row = new_job_row(dataset_id, now) | {"batch_limit": batch_limit}
    connection.execute(insert(jobs).values(row))
    return find_job(connection, str(row["job_id"]))


def _choose(
    connection: Connection, of_dataset: list[Job], *, job_id: str | None, parent_run_id: str | None, now: datetime
) -> Job | None:
    """The waiting job to take, None for a new one; jobs that stand in the way are closed."""
    named = _named(of_dataset, job_id)
    if named is not None and named.run_id is None and named.state in _WAITING:
        return named
    parents = next((job for job in of_dataset if parent_run_id is not None and job.run_id == parent_run_id), None)
    # A retry of a retry still names the first job, so what the parent carried counts for more.
    before = parents or named
    if before is not None:
        _refuse_canceled(before)
    if named is not None and parents is None:
        raise belongs_elsewhere(named)
    if parents is not None and not parents.state.ended:
        end_job(connection, parents.job_id, JobState.FAILED, _record("worker.died", f"run {parent_run_id} was taken over"), now)
        return None
    unended = next((job for job in of_dataset if not job.state.ended), None)
    if unended is not None and unended.state is JobState.PROCESSING:
        # Somebody runs the dataset by hand while an old run hangs: the newer wish counts.
        end_job(connection, unended.job_id, JobState.FAILED, _record("attempt.fenced", f"{_run(unended)} was overtaken"), now)
        return None
    if unended is not None and unended.run_id is not None:
        raise belongs_elsewhere(unended)  # it is about to begin, and would find its job taken
    return unended


def _named(of_dataset: list[Job], job_id: str | None) -> Job | None:
    if job_id is None:
        return None
    named = next((job for job in of_dataset if job.job_id == job_id), None)
    if named is None:
        raise NotFoundError("dataset.not_found", f"there is no job {job_id!r} of this dataset")
    return named


def _refuse_canceled(job: Job) -> None:
    if job.state is JobState.CANCELED:
        raise ConflictError("job.canceled", f"job {job.job_id} of {job.dataset_id} was canceled")


def belongs_elsewhere(job: Job) -> ConflictError:
    """The error for a job that this run may not begin."""
    return ConflictError("job.not_retryable", f"job {job.job_id} is {job.state} and belongs to {_run(job)}")


def _begin(connection: Connection, dataset_id: str, job_id: str, begun: Mapping[str, object]) -> Job:
    connection.execute(update(datasets).where(datasets.c.dataset_id == dataset_id).values(current_attempt=begun["attempt"]))
    connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(state=JobState.PROCESSING, **begun))
    return find_job(connection, job_id)


def _record(code: str, message: str) -> ErrorRecord:
    return ErrorRecord(code, message, Place(), ERROR_CODES[code].hint)


def _run(job: Job) -> str:
    return f"run {job.run_id}" if job.run_id else "no run"

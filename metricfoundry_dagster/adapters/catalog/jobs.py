"""One job and its states: asking, opening, telling progress, closing.

How a run opens one is in `job_opening.py`, who may start its run in `claims.py`, and what a run does with many at once
in `carried_jobs.py`.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, case, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser
from metricfoundry_dagster.adapters.catalog.job_opening import add_job, end_job, open_job
from metricfoundry_dagster.adapters.catalog.rows import UNENDED, find_dataset, find_job, job_of, lock_dataset
from metricfoundry_dagster.adapters.catalog.schema import jobs
from metricfoundry_dagster.domain.errors import ConflictError, ErrorRecord
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.products import Stage


class SqlJobs(DatabaseUser):
    """A dataset has at most one job that has not ended."""

    def job(self, job_id: str) -> Job:
        """One job. Raises NotFoundError `dataset.not_found`."""
        with self._database.reading() as connection:
            return find_job(connection, job_id)

    def jobs_of(self, dataset_id: str) -> list[Job]:
        """All jobs of a dataset, newest first; none of one that is unknown."""
        wanted = select(jobs).where(jobs.c.dataset_id == dataset_id).order_by(jobs.c.number.desc())
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(wanted)]

    def request_job(self, dataset_id: str, now: datetime) -> Job:
        """A new job in state created.

        Raises:
            NotFoundError: `dataset.not_found`.
            ConflictError: `job.not_retryable` while another has not ended.
        """
        with self._database.writing() as connection:
            lock_dataset(connection, dataset_id)
            unended = select(jobs).where(jobs.c.dataset_id == dataset_id, jobs.c.state.in_(UNENDED))
            if (other := connection.execute(unended).one_or_none()) is not None:
                raise ConflictError("job.not_retryable", f"job {other.job_id} of {dataset_id} is {other.state}")
            return add_job(connection, dataset_id, now)

    def open_job(self, dataset_id: str, run_id: str, job_id: str | None, parent_run_id: str | None, now: datetime) -> Attempt:
        """Begin, or go on with, the job that this run carries. Described, with its errors, at the port."""
        with self._database.writing() as connection:
            job = open_job(connection, dataset_id, run_id, job_id=job_id, parent_run_id=parent_run_id, now=now)
            return Attempt(find_dataset(connection, dataset_id), job)

    def report_progress(self, job_id: str, stage: Stage, percent: int) -> JobState:
        """Note how far a processing job is, never backwards; give its state. Raises NotFoundError `dataset.not_found`."""
        with self._database.writing() as connection:
            note_progress(connection, {job_id: (stage, percent)})
            return find_job(connection, job_id).state

    def close_job(self, job_id: str, state: JobState, error: ErrorRecord | None, now: datetime) -> bool:
        """End a job that has not ended; False, without effect, when it has. Raises NotFoundError `dataset.not_found`."""
        if not state.ended:
            raise ValueError(f"a job cannot end as {state}")
        with self._database.writing() as connection:
            closed = end_job(connection, job_id, state, error, now)
            if not closed:
                find_job(connection, job_id)
            return closed

    def close_partial_job(self, job_id: str, now: datetime) -> bool:
        """End a job as completed at the progress that it reached; False, without effect, when it has ended."""
        with self._database.writing() as connection:
            return end_job(connection, job_id, JobState.COMPLETED, None, now, whole=False)

    def replace_job(self, job_id: str, error: ErrorRecord, now: datetime) -> Job | None:
        """End a job as failed and put a created one in its place, which goes alone; None when it has ended already.

        Raises:
            NotFoundError: `dataset.not_found`.
        """
        with self._database.writing() as connection:
            dataset_id = find_job(connection, job_id).dataset_id
            lock_dataset(connection, dataset_id)
            if not end_job(connection, job_id, JobState.FAILED, error, now):
                return None
            return add_job(connection, dataset_id, now, batch_limit=1)


def note_progress(connection: Connection, reached: Mapping[str, tuple[Stage, int]]) -> None:
    """Move processing jobs forward; what would move one back, in percent or to an earlier stage, has no effect."""
    stages = list(Stage)
    rows = [
        {"of_job": job_id, "percent": min(max(percent, 0), 100), "position": stages.index(stage), "stage_now": stage}
        for job_id, (stage, percent) in reached.items()
    ]
    before = case({stage.value: position for position, stage in enumerate(stages)}, value=jobs.c.stage, else_=-1)
    forward = and_(jobs.c.progress_percent <= bindparam("percent"), before <= bindparam("position"))
    change = update(jobs).where(jobs.c.job_id == bindparam("of_job"), jobs.c.state == JobState.PROCESSING, forward)
    connection.execute(change.values(progress_percent=bindparam("percent"), stage=bindparam("stage_now")), rows)

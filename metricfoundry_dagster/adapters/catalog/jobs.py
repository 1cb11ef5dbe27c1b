"""Jobs and their states: asking, claiming, telling progress, closing. How a run opens one is `job_opening.py`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, or_, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser
from metricfoundry_dagster.adapters.catalog.job_opening import add_job, end_job, open_job
from metricfoundry_dagster.adapters.catalog.rows import UNENDED, find_dataset, find_job, job_of, lock_dataset
from metricfoundry_dagster.adapters.catalog.schema import jobs
from metricfoundry_dagster.domain.errors import ConflictError, ErrorRecord
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.products import Stage

#: Lost jobs that are looked after at once; the rest is for the next look.
_MAX_LOST = 500
#: A queued job that no run is known for.
_CLAIMED_ONLY = and_(jobs.c.state == JobState.QUEUED, jobs.c.run_id.is_(None))


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

    def jobs_of_run(self, run_id: str) -> list[Job]:
        """The jobs that a run carries, oldest first."""
        wanted = select(jobs).where(jobs.c.run_id == run_id).order_by(jobs.c.number)
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

    def claim_jobs(self, limit: int, now: datetime, lost_after: timedelta) -> list[tuple[Job, bool]]:
        """Take created jobs, oldest first, which become queued; and again those whose claimer may have died (True)."""
        lost = select(jobs).where(_CLAIMED_ONLY, jobs.c.claimed_at < now - lost_after).order_by(jobs.c.number)
        created = select(jobs).where(jobs.c.state == JobState.CREATED).order_by(jobs.c.number).limit(max(limit, 0))
        with self._database.writing() as connection:
            rows = [
                *connection.execute(lost.limit(_MAX_LOST).with_for_update(skip_locked=True)),
                *connection.execute(created.with_for_update(skip_locked=True)),
            ]
            rows.sort(key=lambda row: int(row.number))
            taken = [row.number for row in rows]
            claim = update(jobs).where(jobs.c.number.in_(taken)).values(state=JobState.QUEUED, claimed_at=now)
            if taken:
                connection.execute(claim)
            claimed = connection.execute(select(jobs).where(jobs.c.number.in_(taken)).order_by(jobs.c.number))
            return [(job_of(row), before.state == JobState.QUEUED) for row, before in zip(claimed, rows, strict=True)]

    def claim_job(self, job_id: str, now: datetime) -> bool:
        """Take one created job for submission; False when somebody else has it."""
        claim = update(jobs).where(jobs.c.job_id == job_id, jobs.c.state == JobState.CREATED)
        with self._database.writing() as connection:
            return connection.execute(claim.values(state=JobState.QUEUED, claimed_at=now)).rowcount == 1

    def release_job(self, job_id: str) -> None:
        """Give a queued job without a run back: created again."""
        release = update(jobs).where(jobs.c.job_id == job_id, _CLAIMED_ONLY)
        with self._database.writing() as connection:
            connection.execute(release.values(state=JobState.CREATED, claimed_at=None))

    def attach_run(self, job_id: str, run_id: str) -> None:
        """Note which run carries a queued job; without effect when it has begun or another run is known."""
        with self._database.writing() as connection:
            connection.execute(update(jobs).where(jobs.c.job_id == job_id, _CLAIMED_ONLY).values(run_id=run_id))

    def open_job(self, dataset_id: str, run_id: str, job_id: str | None, parent_run_id: str | None, now: datetime) -> Attempt:
        """Begin, or go on with, the job that this run carries. Described, with its errors, at the port."""
        with self._database.writing() as connection:
            job = open_job(connection, dataset_id, run_id, job_id=job_id, parent_run_id=parent_run_id, now=now)
            return Attempt(find_dataset(connection, dataset_id), job)

    def report_progress(self, job_id: str, stage: Stage, percent: int) -> JobState:
        """Note how far a processing job is, never backwards; give its state. Raises NotFoundError `dataset.not_found`."""
        with self._database.writing() as connection:
            note_progress(connection, job_id, stage, percent)
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
        """End a job as failed and put a created one in its place; None when it has ended already.

        Raises:
            NotFoundError: `dataset.not_found`.
        """
        with self._database.writing() as connection:
            dataset_id = find_job(connection, job_id).dataset_id
            lock_dataset(connection, dataset_id)
            if not end_job(connection, job_id, JobState.FAILED, error, now):
                return None
            return add_job(connection, dataset_id, now)


def note_progress(connection: Connection, job_id: str, stage: Stage, percent: int) -> None:
    """Move a processing job forward; what would move it back, in percent or to an earlier stage, has no effect."""
    share = min(max(percent, 0), 100)
    reached: Sequence[str] = list(Stage)[: list(Stage).index(stage) + 1]
    forward = and_(jobs.c.progress_percent <= share, or_(jobs.c.stage.is_(None), jobs.c.stage.in_(reached)))
    change = update(jobs).where(jobs.c.job_id == job_id, jobs.c.state == JobState.PROCESSING, forward)
    connection.execute(change.values(progress_percent=share, stage=stage))

"""Claims: who starts the run of a waiting job, and what a job that nobody started is given again for."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import and_, distinct, func, or_, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser, in_chunks
from metricfoundry_dagster.adapters.catalog.rows import job_of
from metricfoundry_dagster.adapters.catalog.schema import datasets, jobs
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.catalog import WaitingJob

#: Lost jobs that are looked after at once; the rest is for the next look.
_MAX_LOST = 5_000
#: A queued job that no run is known for.
_CLAIMED_ONLY = and_(jobs.c.state == JobState.QUEUED, jobs.c.run_id.is_(None))


class SqlClaims(DatabaseUser):
    """A claim is a change of the job's state, so that two who want one job find out in the database."""

    def waiting_jobs(self, limit: int, now: datetime) -> list[WaitingJob]:
        """Created jobs that are not held back, oldest first."""
        columns = jobs.c.job_id, jobs.c.dataset_id, datasets.c.size_bytes, jobs.c.created_at, jobs.c.batch_limit
        free = or_(jobs.c.held_until.is_(None), jobs.c.held_until <= now)
        wanted = select(*columns).join(datasets, datasets.c.dataset_id == jobs.c.dataset_id)
        wanted = wanted.where(jobs.c.state == JobState.CREATED, free).order_by(jobs.c.number).limit(max(limit, 0))
        with self._database.reading() as connection:
            return [WaitingJob(*row) for row in connection.execute(wanted)]

    def queued_runs(self) -> int:
        """How many runs are waited for by queued jobs; those of one batch wait for one."""
        runs = func.count(distinct(func.coalesce(jobs.c.batch_id, jobs.c.job_id)))
        with self._database.reading() as connection:
            return int(connection.scalar(select(runs).where(jobs.c.state == JobState.QUEUED)) or 0)

    def claim_jobs(self, batch_of: Mapping[str, str | None], now: datetime) -> list[Job]:
        """Take those of the jobs that are still created, each for its batch; oldest first."""
        claimed: list[Job] = []
        with self._database.writing() as connection:
            for chunk in in_chunks(batch_of):
                created = select(jobs.c.number, jobs.c.job_id).where(jobs.c.job_id.in_(chunk), jobs.c.state == JobState.CREATED)
                free = connection.execute(created.order_by(jobs.c.number).with_for_update(skip_locked=True)).all()
                numbers: dict[str | None, list[int]] = defaultdict(list)
                for row in free:
                    numbers[batch_of[row.job_id]].append(row.number)
                for batch_id, of_batch in numbers.items():
                    claim = {"state": JobState.QUEUED, "claimed_at": now, "batch_id": batch_id, "told": batch_id is None}
                    connection.execute(update(jobs).where(jobs.c.number.in_(of_batch)).values(claim))
                taken = select(jobs).where(jobs.c.number.in_([row.number for row in free]))
                claimed += map(job_of, connection.execute(taken.order_by(jobs.c.number)))
        return claimed

    def reclaim_jobs(self, now: datetime, lost_after: timedelta) -> list[Job]:
        """Take again, with their batch, queued jobs without a run that were claimed longer than `lost_after` ago."""
        lost = select(jobs.c.number).where(_CLAIMED_ONLY, jobs.c.claimed_at < now - lost_after).order_by(jobs.c.number)
        with self._database.writing() as connection:
            numbers = list(connection.scalars(lost.limit(_MAX_LOST).with_for_update(skip_locked=True)))
            if not numbers:
                return []
            connection.execute(update(jobs).where(jobs.c.number.in_(numbers)).values(claimed_at=now))
            taken = select(jobs).where(jobs.c.number.in_(numbers)).order_by(jobs.c.number)
            return [job_of(row) for row in connection.execute(taken)]

    def claim_job(self, job_id: str, now: datetime) -> bool:
        """Take one created job for submission; False when somebody else has it."""
        claim = update(jobs).where(jobs.c.job_id == job_id, jobs.c.state == JobState.CREATED)
        values = {"state": JobState.QUEUED, "claimed_at": now, "batch_id": None, "told": True}
        with self._database.writing() as connection:
            return connection.execute(claim.values(values)).rowcount == 1

    def release_job(self, job_id: str) -> None:
        """Give a queued job without a run back: created again."""
        release = update(jobs).where(jobs.c.job_id == job_id, _CLAIMED_ONLY)
        with self._database.writing() as connection:
            connection.execute(release.values(state=JobState.CREATED, claimed_at=None, batch_id=None, told=True))

    def attach_run(self, job_id: str, run_id: str) -> None:
        """Note which run carries a queued job; without effect when it has begun or another run is known."""
        with self._database.writing() as connection:
            connection.execute(update(jobs).where(jobs.c.job_id == job_id, _CLAIMED_ONLY).values(run_id=run_id))

    def attach_batch(self, batch_id: str, run_id: str) -> None:
        """Note which run carries the queued jobs of a batch; without effect on those that another run carries."""
        with self._database.writing() as connection:
            connection.execute(update(jobs).where(jobs.c.batch_id == batch_id, _CLAIMED_ONLY).values(run_id=run_id))

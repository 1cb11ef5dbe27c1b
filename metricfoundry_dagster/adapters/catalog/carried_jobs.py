"""Jobs as their run sees them: opened many at once, closed many at once, given back, and told of to Dagster.

What one job goes through is in `jobs.py` and `job_opening.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, insert, literal_column, or_, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser, in_chunks
from metricfoundry_dagster.adapters.catalog.job_opening import belongs_elsewhere, mark_of_batch, open_job
from metricfoundry_dagster.adapters.catalog.rows import (
    UNENDED,
    dataset_of,
    find_dataset,
    job_of,
    new_job_row,
    no_dataset,
    select_datasets,
)
from metricfoundry_dagster.adapters.catalog.schema import datasets, jobs
from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.ports.catalog import CarriedRun, Ending, GivenBack

_WAITING = (JobState.CREATED, JobState.QUEUED)
#: Written like the condition of its index, which is used for no other spelling.
_UNTOLD: ColumnElement[bool] = literal_column("told = false")


class SqlCarriedJobs(DatabaseUser):
    """Every method takes as many statements for a thousand jobs as for one, wherever the jobs are in order."""

    def open_jobs(
        self, named: Sequence[tuple[str, str]], run_id: str, parent_run_id: str | None, now: datetime
    ) -> list[Attempt | MetricFoundryError]:
        """Begin the jobs of many datasets. Described, with its outcomes, at the port."""
        with self._database.writing() as connection:
            jobs_of = _lock(connection, sorted({dataset_id for dataset_id, _ in named}))
            plain = {dataset_id for dataset_id, job_id in named if _is_plain(jobs_of.get(dataset_id, []), job_id, run_id)}
            outcomes = _begin_all(connection, plain, run_id)
            for dataset_id, job_id in named:
                if dataset_id not in plain:
                    known = jobs_of.get(dataset_id, [])
                    outcomes[dataset_id] = _open_one(connection, known, (dataset_id, job_id), run_id, parent_run_id, now)
            return [outcomes[dataset_id] for dataset_id, _ in named]

    def close_jobs(self, endings: Sequence[Ending], now: datetime) -> None:
        """End those of the jobs that have not ended, in one transaction."""
        if any(not ending.state.ended for ending in endings):
            raise ValueError("a job can only end in a state that is an end")
        rows = [
            {
                "of_job": ending.job_id,
                "state": ending.state,
                "error": ending.error.to_json() if ending.error else None,
                "ended_at": now,
                "least_percent": 100 if ending.state is JobState.COMPLETED else 0,
            }
            for ending in sorted(endings, key=lambda ending: ending.job_id)
        ]
        percent = case((jobs.c.progress_percent < bindparam("least_percent"), 100), else_=jobs.c.progress_percent)
        unended = update(jobs).where(jobs.c.job_id == bindparam("of_job"), jobs.c.ended_at.is_(None))
        with self._database.writing() as connection:
            if rows:
                connection.execute(unended.values(progress_percent=percent), rows)

    def give_back(self, given: Sequence[GivenBack], run_id: str, now: datetime) -> int:
        """Let another run take up what this one did not finish. Described at the port."""
        by_id = {each.job_id: each for each in given}
        with self._database.writing() as connection:
            waiting = 0
            for chunk in in_chunks(by_id):
                dataset_ids = connection.scalars(select(jobs.c.dataset_id).where(jobs.c.job_id.in_(chunk))).all()
                of_datasets = _lock(connection, sorted(dataset_ids))
                carried = [job for known in of_datasets.values() for job in known if job.run_id == run_id and not job.state.ended]
                own = [(job, _no_larger(by_id[job.job_id], job.batch_limit)) for job in carried if job.job_id in by_id]
                _release(connection, [each for job, each in own if job.state in _WAITING])
                _replace(connection, [(job, each) for job, each in own if job.state is JobState.PROCESSING], now)
                waiting += len(own)
            return waiting

    def jobs_of_run(self, run_id: str) -> list[Job]:
        """The jobs that a run carries, oldest first."""
        wanted = select(jobs).where(jobs.c.run_id == run_id).order_by(jobs.c.number)
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(wanted)]

    def carried_runs(self) -> list[CarriedRun]:
        """Runs that carry queued or processing jobs, or ended jobs of which Dagster may not have been told yet."""
        begun = func.max(case((jobs.c.state == JobState.QUEUED, 0), else_=1))
        of_interest = or_(jobs.c.state.in_((JobState.QUEUED, JobState.PROCESSING)), _UNTOLD)
        wanted = select(jobs.c.run_id, func.max(jobs.c.claimed_at), begun).where(of_interest, jobs.c.run_id.is_not(None))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.group_by(jobs.c.run_id).order_by(jobs.c.run_id))
            return [CarriedRun(run_id, claimed_at, bool(has_begun)) for run_id, claimed_at, has_begun in rows]

    def untold_jobs(self, run_id: str) -> list[Job]:
        """Jobs that have ended, and of whose stages Dagster may not have been told yet, oldest first."""
        wanted = select(jobs).where(jobs.c.run_id == run_id, _UNTOLD, jobs.c.state.not_in(UNENDED)).order_by(jobs.c.number)
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(wanted)]

    def mark_told(self, job_ids: Sequence[str]) -> None:
        """Note that Dagster was told of what became of these jobs."""
        with self._database.writing() as connection:
            for chunk in in_chunks(sorted(job_ids)):
                connection.execute(update(jobs).where(jobs.c.job_id.in_(chunk)).values(told=True))


def _lock(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, list[Job]]:
    """Hold the datasets, in one order for all, and give their jobs, newest first."""
    jobs_of: dict[str, list[Job]] = {}
    for chunk in in_chunks(dataset_ids):
        held = select(datasets.c.dataset_id).where(datasets.c.dataset_id.in_(chunk)).order_by(datasets.c.dataset_id)
        jobs_of.update((dataset_id, []) for dataset_id in connection.scalars(held.with_for_update(key_share=True)))
        of_datasets = select(jobs).where(jobs.c.dataset_id.in_(chunk)).order_by(jobs.c.dataset_id, jobs.c.number.desc())
        for row in connection.execute(of_datasets.with_for_update()):
            jobs_of[row.dataset_id].append(job_of(row))
    return jobs_of


def _is_plain(known: Sequence[Job], job_id: str, run_id: str) -> bool:
    """Whether the named job simply waits, for this run or for any."""
    named = next((job for job in known if job.job_id == job_id), None)
    if named is None or named.state not in _WAITING or named.run_id not in {None, run_id}:
        return False
    return all(job is named or (job.run_id != run_id and job.state.ended) for job in known)


def _begin_all(connection: Connection, dataset_ids: set[str], run_id: str) -> dict[str, Attempt | MetricFoundryError]:
    """Begin the waiting job of each dataset, which must have one; raise its attempt."""
    attempts: dict[str, Attempt | MetricFoundryError] = {}
    for chunk in in_chunks(sorted(dataset_ids)):
        of_datasets = datasets.c.dataset_id.in_(chunk)
        connection.execute(update(datasets).where(of_datasets).values(current_attempt=datasets.c.current_attempt + 1))
        current = select(datasets.c.current_attempt).where(datasets.c.dataset_id == jobs.c.dataset_id).scalar_subquery()
        begun = {"state": JobState.PROCESSING, "run_id": run_id, "attempt": current} | mark_of_batch(run_id)
        waiting = jobs.c.dataset_id.in_(chunk), jobs.c.state.in_(_WAITING)
        connection.execute(update(jobs).where(*waiting).values(begun))
        found: dict[str, Dataset] = {
            row.dataset_id: dataset_of(row) for row in connection.execute(select_datasets().where(of_datasets))
        }
        processing = jobs.c.dataset_id.in_(chunk), jobs.c.state == JobState.PROCESSING
        for row in connection.execute(select(jobs).where(*processing)):
            attempts[row.dataset_id] = Attempt(found[row.dataset_id], job_of(row))
    return attempts


def _open_one(
    connection: Connection, known: Sequence[Job], named: tuple[str, str], run_id: str, parent_run_id: str | None, now: datetime
) -> Attempt | MetricFoundryError:
    """Begin a job that does not simply wait, as a run of its own would. Refusals come before anything is written."""
    dataset_id, job_id = named
    try:
        if not known:
            raise no_dataset(dataset_id)
        _refuse_taken([known[0], *(job for job in known if job.job_id == job_id)], run_id, parent_run_id)
        job = open_job(connection, dataset_id, run_id, job_id=job_id, parent_run_id=parent_run_id, now=now, in_batch=True)
        return Attempt(find_dataset(connection, dataset_id), job)
    except MetricFoundryError as error:
        return error


def _refuse_taken(of_dataset: Sequence[Job], run_id: str, parent_run_id: str | None) -> None:
    """A batch that is started again does nothing that is done, and takes nothing from a run that has it in hand."""
    for job in of_dataset:
        is_done = job.state is JobState.COMPLETED and job.run_id != run_id
        if is_done or (job.state is JobState.PROCESSING and job.run_id not in {run_id, parent_run_id}):
            raise belongs_elsewhere(job)


def _no_larger(given: GivenBack, known_limit: int | None) -> GivenBack:
    """A limit that was set once holds until the dataset is done: else narrowing would begin anew."""
    limits = [limit for limit in (given.batch_limit, known_limit) if limit is not None]
    return replace(given, batch_limit=min(limits, default=None))


def _release(connection: Connection, given: Sequence[GivenBack]) -> None:
    released: dict[str, object] = {
        "state": JobState.CREATED,
        "run_id": None,
        "claimed_at": None,
        "batch_id": None,
        "told": True,
        "batch_limit": bindparam("limit_now"),
        "held_until": bindparam("held_now"),
    }
    rows = [
        {"of_job": each.job_id, "limit_now": each.batch_limit, "held_now": each.held_until}
        for each in sorted(given, key=lambda each: each.job_id)
    ]
    if rows:
        connection.execute(update(jobs).where(jobs.c.job_id == bindparam("of_job")).values(released), rows)


def _replace(connection: Connection, given: Sequence[tuple[Job, GivenBack]], now: datetime) -> None:
    ended = {"state": JobState.FAILED, "ended_at": now, "told": True}
    rows = [{"of_job": job.job_id, "error": each.error.to_json()} for job, each in given]
    if rows:
        connection.execute(update(jobs).where(jobs.c.job_id == bindparam("of_job")).values(ended), rows)
        successors = [
            new_job_row(job.dataset_id, now) | {"batch_limit": each.batch_limit, "held_until": each.held_until}
            for job, each in given
        ]
        connection.execute(insert(jobs), successors)

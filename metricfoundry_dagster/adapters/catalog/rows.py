"""Between rows of the catalog's tables and the words of the domain, where several parts of the catalog need it."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, Select, select

from metricfoundry_dagster.adapters.catalog.schema import datasets, datasources, jobs
from metricfoundry_dagster.domain.datasets import Dataset, Mode
from metricfoundry_dagster.domain.errors import ErrorRecord, NotFoundError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage

UNENDED = [state for state in JobState if not state.ended]


def select_datasets() -> Select[Any]:
    """Every column that `dataset_of` needs."""
    return select(datasets, datasources.c.mode).join(datasources, datasources.c.slug == datasets.c.datasource)


def dataset_of(row: Row[Any]) -> Dataset:
    """One dataset from a row of `select_datasets`."""
    return Dataset(
        dataset_id=row.dataset_id,
        datasource=row.datasource,
        sequence=row.sequence,
        mode=Mode(row.mode),
        source_uri=row.source_uri,
        etag=row.etag,
        filename=row.filename,
        size_bytes=row.size_bytes,
        contract=row.contract,
        recipe=row.recipe,
        created_at=row.created_at,
    )


def job_of(row: Row[Any]) -> Job:
    """One job from a row of `jobs`."""
    return Job(
        job_id=row.job_id,
        dataset_id=row.dataset_id,
        attempt=row.attempt,
        state=JobState(row.state),
        progress_percent=row.progress_percent,
        run_id=row.run_id,
        stage=Stage(row.stage) if row.stage else None,
        error=ErrorRecord.from_json(row.error) if row.error else None,
        created_at=row.created_at,
        ended_at=row.ended_at,
        claimed_at=row.claimed_at,
        batch_id=row.batch_id,
        batch_limit=row.batch_limit,
        held_until=row.held_until,
    )


def new_job_row(dataset_id: str, now: datetime) -> dict[str, object]:
    """A new job in state created, as a row of `jobs`."""
    return {
        "job_id": uuid4().hex,
        "dataset_id": dataset_id,
        "attempt": 0,
        "state": JobState.CREATED,
        "progress_percent": 0,
        "created_at": now,
    }


def find_dataset(connection: Connection, dataset_id: str) -> Dataset:
    """One dataset. Raises NotFoundError `dataset.not_found`."""
    row = connection.execute(select_datasets().where(datasets.c.dataset_id == dataset_id)).one_or_none()
    if row is None:
        raise no_dataset(dataset_id)
    return dataset_of(row)


def lock_dataset(connection: Connection, dataset_id: str) -> int:
    """Hold up every other change of the dataset's jobs until the transaction ends; give its current attempt.

    Raises:
        NotFoundError: `dataset.not_found`.
    """
    wanted = select(datasets.c.current_attempt).where(datasets.c.dataset_id == dataset_id)
    attempt: int | None = connection.scalar(wanted.with_for_update(key_share=True))
    if attempt is None:
        raise no_dataset(dataset_id)
    return attempt


def find_job(connection: Connection, job_id: str) -> Job:
    """One job. Raises NotFoundError `dataset.not_found`."""
    row = connection.execute(select(jobs).where(jobs.c.job_id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("dataset.not_found", f"there is no job {job_id!r}")
    return job_of(row)


def no_dataset(dataset_id: str) -> NotFoundError:
    """The error for an id that nobody registered."""
    return NotFoundError("dataset.not_found", f"there is no dataset {dataset_id!r}")

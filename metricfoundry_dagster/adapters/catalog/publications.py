"""Which stages were published, by which attempt. The whole of a product is in its manifest."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser
from metricfoundry_dagster.adapters.catalog.jobs import note_progress
from metricfoundry_dagster.adapters.catalog.rows import find_job, lock_dataset
from metricfoundry_dagster.adapters.catalog.schema import datasets, stage_tables, stages
from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import ErrorRecord, FencedError
from metricfoundry_dagster.domain.jobs import MILESTONES_PERCENT, Job, JobState
from metricfoundry_dagster.domain.products import Column, Stage, StageProduct, TableProduct
from metricfoundry_dagster.ports.catalog import StageRecord


class SqlPublications(DatabaseUser):
    """One row for a stage of a dataset: a newer attempt takes the place of the one before."""

    def publish(self, product: StageProduct, job_id: str, now: datetime) -> None:
        """Record the product if its attempt is still the dataset's current one and its job is processing.

        Raises:
            NotFoundError: `dataset.not_found`.
            FencedError: `attempt.fenced`.
        """
        with self._database.writing() as connection:
            current_attempt = lock_dataset(connection, product.dataset_id)
            job = _require_current(connection, product, job_id, current_attempt)
            _replace(connection, product, job_id, now)
            reached_percent = MILESTONES_PERCENT[product.stage] if product.gate.passed else job.progress_percent
            note_progress(connection, job_id, product.stage, reached_percent)

    def stage(self, dataset_id: str, stage: Stage) -> StageRecord | None:
        """The published state of a stage; None when it was never published."""
        wanted = select(stages).where(stages.c.dataset_id == dataset_id, stages.c.stage == stage)
        with self._database.reading() as connection:
            row = connection.execute(wanted).one_or_none()
        return _record_of(row) if row else None

    def previous_tables(self, dataset: Dataset, stage: Stage) -> tuple[TableProduct, ...] | None:
        """The tables of the newest earlier dataset of the datasource that passed this stage; None without one."""
        earlier = _earlier(select(datasets.c.dataset_id), dataset, stage).limit(1)
        with self._database.reading() as connection:
            previous_id = connection.scalar(earlier)
            if previous_id is None:
                return None
            wanted = select(stage_tables).where(stage_tables.c.dataset_id == previous_id, stage_tables.c.stage == stage)
            return tuple(_table_of(row) for row in connection.execute(wanted.order_by(stage_tables.c.position)))

    def row_history(self, dataset: Dataset, limit: int) -> list[int]:
        """Rows that the last earlier datasets of the datasource served, newest first."""
        wanted = _earlier(select(stages.c.rows_out), dataset, Stage.DRUID_DATASOURCE).limit(max(limit, 0))
        with self._database.reading() as connection:
            return list(connection.scalars(wanted))


def _require_current(connection: Connection, product: StageProduct, job_id: str, current_attempt: int) -> Job:
    if product.attempt != current_attempt:
        message = f"attempt {product.attempt} of {product.dataset_id} may not publish, the current one is {current_attempt}"
        raise FencedError("attempt.fenced", message)
    job = find_job(connection, job_id)
    if (job.dataset_id, job.attempt) != (product.dataset_id, product.attempt):
        raise FencedError("attempt.fenced", f"job {job_id} does not carry attempt {product.attempt} of {product.dataset_id}")
    if job.state is not JobState.PROCESSING:
        raise FencedError("attempt.fenced", f"job {job_id} of {product.dataset_id} is {job.state} and may not publish")
    return job


def _replace(connection: Connection, product: StageProduct, job_id: str, now: datetime) -> None:
    stage = {"dataset_id": product.dataset_id, "stage": product.stage}
    connection.execute(delete(stages).filter_by(**stage))  # its tables go with it
    connection.execute(
        insert(stages).values(
            **stage,
            attempt=product.attempt,
            job_id=job_id,
            passed=product.gate.passed,
            rows_out=product.rows_out,
            rows_rejected=product.rows_rejected,
            published_at=now,
        )
    )
    rows = [stage | {"position": position} | _table_row(table) for position, table in enumerate(product.tables)]
    if rows:
        connection.execute(insert(stage_tables), rows)


def _table_row(table: TableProduct) -> dict[str, object]:
    return {
        "name": table.name,
        "columns": [asdict(column) for column in table.columns],
        "rows_in": table.rows_in,
        "rows_out": table.rows_out,
        "rows_rejected": table.rows_rejected,
        "error": table.error.to_json() if table.error else None,
    }


def _table_of(row: Row[Any]) -> TableProduct:
    columns = tuple(Column(**column) for column in row.columns)
    error = ErrorRecord.from_json(row.error) if row.error else None
    return TableProduct(row.name, columns, row.rows_in, row.rows_out, row.rows_rejected, error)


def _record_of(row: Row[Any]) -> StageRecord:
    return StageRecord(
        dataset_id=row.dataset_id,
        stage=Stage(row.stage),
        attempt=row.attempt,
        job_id=row.job_id,
        passed=row.passed,
        rows_out=row.rows_out,
        rows_rejected=row.rows_rejected,
        published_at=row.published_at,
    )


def _earlier(wanted: Any, dataset: Dataset, stage: Stage) -> Any:
    """Datasets of the same datasource before this one whose stage passed, newest first."""
    joined = wanted.select_from(datasets).join(stages, stages.c.dataset_id == datasets.c.dataset_id)
    of_datasource = joined.where(datasets.c.datasource == dataset.datasource, datasets.c.sequence < dataset.sequence)
    return of_datasource.where(stages.c.stage == stage, stages.c.passed).order_by(datasets.c.sequence.desc())

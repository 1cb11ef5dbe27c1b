"""Which stages were published, by which attempt. The whole of a product is in its manifest."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, tuple_

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser, in_chunks
from metricfoundry_dagster.adapters.catalog.jobs import note_progress
from metricfoundry_dagster.adapters.catalog.rows import job_of, no_dataset
from metricfoundry_dagster.adapters.catalog.schema import datasets, jobs, stage_tables, stages
from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import ErrorRecord, FencedError, MetricFoundryError
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
        [refusal] = self.publish_all([(product, job_id)], now)
        if refusal is not None:
            raise refusal

    def publish_all(self, products: Sequence[tuple[StageProduct, str]], now: datetime) -> list[MetricFoundryError | None]:
        """Record products of many datasets, of each either all or none; give what forbade each."""
        with self._database.writing() as connection:
            attempts = _lock_datasets(connection, sorted({product.dataset_id for product, _ in products}))
            carriers = _find_jobs(connection, sorted({job_id for _, job_id in products}))
            refusals: dict[str, MetricFoundryError] = {}
            for product, job_id in products:
                refusal = _refusal(product, job_id, carriers.get(job_id), attempts.get(product.dataset_id))
                if refusal is not None:
                    refusals.setdefault(product.dataset_id, refusal)
            allowed = [each for each in products if each[0].dataset_id not in refusals]
            if allowed:
                _replace(connection, allowed, now)
                _note_progress(connection, allowed, carriers)
            return [refusals.get(product.dataset_id) for product, _ in products]

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


def _lock_datasets(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, int]:
    """The current attempt of each registered dataset, which is held until the transaction ends."""
    attempts: dict[str, int] = {}
    for chunk in in_chunks(dataset_ids):
        wanted = select(datasets.c.dataset_id, datasets.c.current_attempt).where(datasets.c.dataset_id.in_(chunk))
        held = connection.execute(wanted.order_by(datasets.c.dataset_id).with_for_update(key_share=True))
        attempts.update((row.dataset_id, row.current_attempt) for row in held)
    return attempts


def _find_jobs(connection: Connection, job_ids: Sequence[str]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for chunk in in_chunks(job_ids):
        found.update((row.job_id, job_of(row)) for row in connection.execute(select(jobs).where(jobs.c.job_id.in_(chunk))))
    return found


def _refusal(product: StageProduct, job_id: str, job: Job | None, current_attempt: int | None) -> MetricFoundryError | None:
    """What forbids that the product counts; None when nothing does."""
    if current_attempt is None:
        return no_dataset(product.dataset_id)
    if product.attempt != current_attempt:
        message = f"attempt {product.attempt} of {product.dataset_id} may not publish, the current one is {current_attempt}"
        return FencedError("attempt.fenced", message)
    if job is None or (job.dataset_id, job.attempt) != (product.dataset_id, product.attempt):
        message = f"job {job_id} does not carry attempt {product.attempt} of {product.dataset_id}"
        return FencedError("attempt.fenced", message)
    if job.state is not JobState.PROCESSING:
        return FencedError("attempt.fenced", f"job {job_id} of {product.dataset_id} is {job.state} and may not publish")
    return None


def _replace(connection: Connection, products: Sequence[tuple[StageProduct, str]], now: datetime) -> None:
    key = stages.c.dataset_id, stages.c.stage
    for chunk in in_chunks((product.dataset_id, product.stage) for product, _ in products):
        connection.execute(delete(stages).where(tuple_(*key).in_(chunk)))  # their tables go with them
    rows = [
        {
            "dataset_id": product.dataset_id,
            "stage": product.stage,
            "attempt": product.attempt,
            "job_id": job_id,
            "passed": product.gate.passed,
            "rows_out": product.rows_out,
            "rows_rejected": product.rows_rejected,
            "published_at": now,
        }
        for product, job_id in products
    ]
    connection.execute(insert(stages), rows)
    table_rows = [
        {"dataset_id": product.dataset_id, "stage": product.stage, "position": position} | _table_row(table)
        for product, _ in products
        for position, table in enumerate(product.tables)
    ]
    if table_rows:
        connection.execute(insert(stage_tables), table_rows)


def _note_progress(connection: Connection, products: Sequence[tuple[StageProduct, str]], carriers: dict[str, Job]) -> None:
    """Each job is as far as its last stage that passed; one that failed is told, and keeps the percentage."""
    reached: dict[str, tuple[Stage, int]] = {}
    for product, job_id in products:
        _, percent = reached.get(job_id, (product.stage, carriers[job_id].progress_percent))
        reached[job_id] = product.stage, MILESTONES_PERCENT[product.stage] if product.gate.passed else percent
    note_progress(connection, {job_id: reached[job_id] for job_id in sorted(reached)})


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

"""Datasets and their datasources."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser, in_chunks
from metricfoundry_dagster.adapters.catalog.rows import dataset_of, find_dataset, job_of, new_job_row, no_dataset, select_datasets
from metricfoundry_dagster.adapters.catalog.schema import arrivals, datasets, datasources, jobs, source_digest
from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset, same_name
from metricfoundry_dagster.domain.errors import ConflictError, Place, UserError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.catalog import DatasetFilter


class SqlDatasets(DatabaseUser):
    """Registering locks the datasources that it is about, so that sequences are given one after another."""

    def register(self, new: Sequence[NewDataset], now: datetime, run_id: str | None = None) -> list[Dataset]:
        """Register datasets, each with a job that waits, for `run_id` alone if it is given; all in one or none.

        A dataset is known by its id, which for an object that was seen is made of its address and ETag.

        Raises:
            ConflictError: `datasource.name_taken` or `datasource.mode_conflict`.
            UserError: `name.invalid` for a text that no database can hold.
        """
        for each in new:
            _require_storable(each)
        with self._database.writing() as connection:
            sequences = self._lock_datasources(connection, new, now)
            known = _known_datasets(connection, new)
            registered, added = _give_sequences(new, known, sequences, now)
            if added:
                _insert(connection, added, sequences, [_first_job_row(dataset, now, run_id) for dataset in added])
        return registered

    def revise(self, dataset_id: str, contract: str | None, recipe: dict[str, object]) -> Dataset:
        """Change how the dataset's next job is to judge and read it. Raises NotFoundError `dataset.not_found`."""
        change = update(datasets).where(datasets.c.dataset_id == dataset_id).values(contract=contract, recipe=recipe)
        with self._database.writing() as connection:
            if not connection.execute(change).rowcount:
                raise no_dataset(dataset_id)
            return find_dataset(connection, dataset_id)

    def dataset(self, dataset_id: str) -> Dataset:
        """One dataset. Raises NotFoundError `dataset.not_found`."""
        with self._database.reading() as connection:
            return find_dataset(connection, dataset_id)

    def current_attempts(self, dataset_ids: Collection[str]) -> dict[str, int]:
        """The newest attempt that was begun of each registered dataset, 0 before the first."""
        attempts: dict[str, int] = {}
        wanted = select(datasets.c.dataset_id, datasets.c.current_attempt)
        with self._database.reading() as connection:
            for chunk in in_chunks(dataset_ids):
                rows = connection.execute(wanted.where(datasets.c.dataset_id.in_(chunk)))
                attempts.update((row.dataset_id, row.current_attempt) for row in rows)
        return attempts

    def datasets(self, which: DatasetFilter) -> list[tuple[Dataset, Job]]:
        """Datasets with the newest job of each, newest dataset first."""
        sibling = jobs.alias()
        newest = select(func.max(sibling.c.number)).where(sibling.c.dataset_id == datasets.c.dataset_id).scalar_subquery()
        wanted = select_datasets().add_columns(jobs.c.number.label("job_number")).join(jobs, jobs.c.number == newest)
        if which.datasource is not None:
            wanted = wanted.where(datasets.c.datasource == which.datasource)
        if which.state is not None:
            wanted = wanted.where(jobs.c.state == which.state)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(datasets.c.number.desc()).limit(max(which.limit, 0))).all()
            by_number: dict[int, Job] = {}
            for chunk in in_chunks(row.job_number for row in rows):
                found = connection.execute(select(jobs).where(jobs.c.number.in_(chunk)))
                by_number.update((row.number, job_of(row)) for row in found)
        return [(dataset_of(row), by_number[row.job_number]) for row in rows]

    def mode(self, datasource: str) -> Mode | None:
        """How the datasource is kept; None when it is unknown."""
        with self._database.reading() as connection:
            word = connection.scalar(select(datasources.c.mode).where(datasources.c.slug == datasource))
        return Mode(word) if word else None

    def names_and_modes(self, slugs: Collection[str]) -> dict[str, tuple[str, Mode]]:
        """The given name and the mode of those datasources that are known, by slug."""
        wanted = select(datasources.c.slug, datasources.c.given_name, datasources.c.mode)
        found: dict[str, tuple[str, Mode]] = {}
        with self._database.reading() as connection:
            for chunk in in_chunks(slugs):
                rows = connection.execute(wanted.where(datasources.c.slug.in_(chunk)))
                found.update((row.slug, (row.given_name, Mode(row.mode))) for row in rows)
        return found

    def _lock_datasources(self, connection: Connection, new: Sequence[NewDataset], now: datetime) -> dict[str, int]:
        """Make the datasources that are missing, lock all, and give the last sequence of each."""
        first_of = {each.datasource: each for each in reversed(new)}
        slugs = sorted(first_of)  # one order for all: no deadlock
        rows = [_datasource_row(first_of[slug], now) for slug in slugs]
        self._database.insert_new(connection, datasources, rows)
        kept: dict[str, Row[Any]] = {}
        for chunk in in_chunks(slugs):
            wanted = select(datasources).where(datasources.c.slug.in_(chunk)).order_by(datasources.c.slug)
            kept.update((row.slug, row) for row in connection.execute(wanted.with_for_update(key_share=True)))
        for each in new:
            _require_same_datasource(each, kept[each.datasource])
        return {slug: row.last_sequence for slug, row in kept.items()}


def _require_storable(new: NewDataset) -> None:
    for text in (new.dataset_id, new.given_name, new.source_uri, new.etag, new.filename, new.contract or ""):
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            message = f"{text!r} is no valid text"
            raise UserError("name.invalid", message, place=Place(file=ascii(new.filename)[1:-1]), hint="Rename it in UTF-8.")


def _require_same_datasource(new: NewDataset, kept: Row[Any]) -> None:
    if not same_name(new.given_name, kept.given_name):
        message = f"{new.given_name!r} and {kept.given_name!r} would both be the datasource {kept.slug!r}"
        raise ConflictError("datasource.name_taken", message)
    if new.mode != kept.mode:
        raise ConflictError("datasource.mode_conflict", f"datasource {kept.slug!r} is kept in mode {kept.mode}, not {new.mode}")


def _known_datasets(connection: Connection, new: Sequence[NewDataset]) -> dict[str, Dataset]:
    """The datasets that are there already, by id."""
    known: dict[str, Dataset] = {}
    for chunk in in_chunks(each.dataset_id for each in new):
        for row in connection.execute(select_datasets().where(datasets.c.dataset_id.in_(chunk))):
            known[row.dataset_id] = dataset_of(row)
    return known


def _give_sequences(
    new: Sequence[NewDataset], known: dict[str, Dataset], sequences: dict[str, int], now: datetime
) -> tuple[list[Dataset], list[Dataset]]:
    """All datasets in the order that was asked for, and those of them that are to be added. Raises `sequences`."""
    registered: list[Dataset] = []
    added: list[Dataset] = []
    for each in new:
        dataset = known.get(each.dataset_id)
        if dataset is None:
            sequences[each.datasource] += 1
            dataset = _dataset_from(each, sequences[each.datasource], now)
            added.append(dataset)
            known[each.dataset_id] = dataset
        registered.append(dataset)
    return registered, added


def _dataset_from(new: NewDataset, sequence: int, now: datetime) -> Dataset:
    return Dataset(
        dataset_id=new.dataset_id,
        datasource=new.datasource,
        sequence=sequence,
        mode=new.mode,
        source_uri=new.source_uri,
        etag=new.etag,
        filename=new.filename,
        size_bytes=new.size_bytes,
        contract=new.contract,
        recipe=new.recipe or {},
        created_at=now,
    )


def _first_job_row(dataset: Dataset, now: datetime, run_id: str | None) -> dict[str, object]:
    claim = {"state": JobState.QUEUED, "run_id": run_id, "claimed_at": now} if run_id is not None else {}
    return new_job_row(dataset.dataset_id, now) | claim


def _insert(
    connection: Connection, added: Sequence[Dataset], sequences: dict[str, int], first_jobs: list[dict[str, object]]
) -> None:
    connection.execute(insert(datasets), [_dataset_row(dataset) for dataset in added])
    connection.execute(insert(jobs), first_jobs)
    for slug in sorted({dataset.datasource for dataset in added}):
        connection.execute(update(datasources).where(datasources.c.slug == slug).values(last_sequence=sequences[slug]))
    for chunk in in_chunks(source_digest(dataset.source_uri, dataset.etag) for dataset in added):
        connection.execute(delete(arrivals).where(arrivals.c.source_digest.in_(chunk)))


def _datasource_row(new: NewDataset, now: datetime) -> dict[str, object]:
    return {"slug": new.datasource, "given_name": new.given_name, "mode": new.mode, "last_sequence": 0, "created_at": now}


def _dataset_row(dataset: Dataset) -> dict[str, object]:
    return {
        "dataset_id": dataset.dataset_id,
        "datasource": dataset.datasource,
        "sequence": dataset.sequence,
        "source_uri": dataset.source_uri,
        "etag": dataset.etag,
        "source_digest": source_digest(dataset.source_uri, dataset.etag),
        "filename": dataset.filename,
        "size_bytes": dataset.size_bytes,
        "contract": dataset.contract,
        "recipe": dataset.recipe,
        "current_attempt": 0,
        "created_at": dataset.created_at,
    }

"""Versions of datasources, and the pointer to the one that readers see.

A row holds the one dataset that came with its version, and the version that readers saw before. In append mode
the members of a version are those of the version before, with this dataset in its place: so a thousand appended
datasets take a thousand rows of one member, not of a thousand. Rows are never changed.

A rollback moves the pointer to the version that readers saw before the current one was made. What comes next is
judged by the version that is pointed to then: a retry of the dataset that was rolled back is a person's wish and
becomes current again, and an appended one adds to what readers see.
"""

from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser
from metricfoundry_dagster.adapters.catalog.schema import datasets, datasources, jobs, served_pointers, served_versions
from metricfoundry_dagster.adapters.catalog.served_json import servable_to_json
from metricfoundry_dagster.adapters.catalog.version_reading import holds, read_version, read_versions
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, NotFoundError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Servable, Version


class SqlVersions(DatabaseUser):
    """A datasource is known here from its first version on, whether or not it is registered."""

    def add_version(self, servable: Servable, now: datetime) -> tuple[Version, bool]:
        """Make a version and move the pointer, by the rules of `ServingEngine.serve`.

        For an attempt that is served already nothing changes: the current version is given if it holds it, else
        the one that came with it.

        Raises:
            ConflictError: `datasource.mode_conflict`.
            FencedError: `attempt.fenced` when a newer attempt of the dataset has begun, or was served; when the job
                of a registered dataset's attempt has ended.
        """
        with self._database.writing() as connection:
            _require_newest_attempt(connection, servable)
            _require_processing(connection, servable)
            _require_mode(connection, servable)
            last_number, current_number = self._lock_pointer(connection, servable)
            if current_number is not None and holds(connection, servable, current_number):
                return read_version(connection, servable.datasource, current_number), True
            repeated_number = _number_of(connection, servable)
            if repeated_number is not None:
                return read_version(connection, servable.datasource, repeated_number), False
            becomes_current = servable.mode is Mode.APPEND or _is_newest(connection, servable, current_number)
            _insert(connection, servable, last_number + 1, current_number, now)
            moved = {"current_number": last_number + 1} if becomes_current else {}
            _point(connection, servable.datasource, last_number=last_number + 1, **moved)
            return read_version(connection, servable.datasource, last_number + 1), becomes_current

    def step_back(self, datasource: str) -> Version:
        """Move the pointer to the version that readers saw before the current one.

        Raises:
            NotFoundError: `datasource.not_found` when nothing was ever served.
            ConflictError: `datasource.no_earlier_version`.
        """
        with self._database.writing() as connection:
            wanted = select(served_pointers.c.current_number).where(served_pointers.c.datasource == datasource)
            current_number = connection.scalar(wanted.with_for_update(key_share=True))
            if current_number is None:
                raise NotFoundError("datasource.not_found", f"nothing was ever served as {datasource!r}")
            current = served_versions.c.datasource == datasource, served_versions.c.number == current_number
            before_number = connection.scalar(select(served_versions.c.before_number).where(*current))
            if before_number is None:
                message = f"version {current_number} of {datasource!r} is the first that was served"
                raise ConflictError("datasource.no_earlier_version", message)
            _point(connection, datasource, current_number=before_number)
            return read_version(connection, datasource, before_number)

    def current_version(self, datasource: str) -> Version | None:
        """The version the pointer is at; None when nothing was ever served."""
        wanted = select(served_pointers.c.current_number).where(served_pointers.c.datasource == datasource)
        with self._database.reading() as connection:
            number = connection.scalar(wanted)
            return None if number is None else read_version(connection, datasource, number)

    def versions(self, datasource: str) -> list[Version]:
        """All versions, newest first."""
        with self._database.reading() as connection:
            return read_versions(connection, datasource)

    def current_versions(self) -> list[Version]:
        """The current version of every datasource, by name."""
        wanted = select(served_pointers.c.datasource, served_pointers.c.current_number).order_by(served_pointers.c.datasource)
        with self._database.reading() as connection:
            return [read_version(connection, row.datasource, row.current_number) for row in connection.execute(wanted).all()]

    def _lock_pointer(self, connection: Connection, servable: Servable) -> tuple[int, int | None]:
        """The last number that was given, and the one that readers see."""
        first = {"datasource": servable.datasource, "mode": servable.mode, "last_number": 0, "current_number": None}
        self._database.insert_new(connection, served_pointers, [first])
        wanted = select(served_pointers).where(served_pointers.c.datasource == servable.datasource)
        pointer = connection.execute(wanted.with_for_update(key_share=True)).one()
        if pointer.mode != servable.mode:
            raise _mode_conflict(servable, pointer.mode)
        return pointer.last_number, pointer.current_number


def _require_newest_attempt(connection: Connection, servable: Servable) -> None:
    """Hold the dataset, if it is registered, so that no newer attempt begins before this one is served or refused."""
    begun = select(datasets.c.current_attempt).where(datasets.c.dataset_id == servable.dataset_id)
    of_dataset = served_versions.c.datasource == servable.datasource, served_versions.c.dataset_id == servable.dataset_id
    served = select(func.max(served_versions.c.attempt)).where(*of_dataset)
    newest = max(connection.scalar(begun.with_for_update(key_share=True)) or 0, connection.scalar(served) or 0)
    if newest > servable.attempt:
        message = f"attempt {servable.attempt} of {servable.dataset_id} may not be served, there is attempt {newest}"
        raise FencedError("attempt.fenced", message)


def _require_processing(connection: Connection, servable: Servable) -> None:
    """Refuse a job that was canceled or given up, and hold it: whoever ends it now does so after this was served."""
    of_attempt = jobs.c.dataset_id == servable.dataset_id, jobs.c.attempt == servable.attempt
    state = connection.scalar(select(jobs.c.state).where(*of_attempt).with_for_update(key_share=True))
    if state is not None and state != JobState.PROCESSING:
        message = f"the job of attempt {servable.attempt} of {servable.dataset_id} is {state} and may not serve"
        raise FencedError("attempt.fenced", message)


def _require_mode(connection: Connection, servable: Servable) -> None:
    mode = connection.scalar(select(datasources.c.mode).where(datasources.c.slug == servable.datasource))
    if mode is not None and mode != servable.mode:
        raise _mode_conflict(servable, mode)


def _mode_conflict(servable: Servable, kept: str) -> ConflictError:
    message = f"datasource {servable.datasource!r} is kept in mode {kept}, not {servable.mode}"
    return ConflictError("datasource.mode_conflict", message)


def _number_of(connection: Connection, servable: Servable) -> int | None:
    """The version that came with this attempt."""
    attempt = {"datasource": servable.datasource, "dataset_id": servable.dataset_id, "attempt": servable.attempt}
    number: int | None = connection.scalar(select(served_versions.c.number).filter_by(**attempt))
    return number


def _is_newest(connection: Connection, servable: Servable, current_number: int | None) -> bool:
    current = served_versions.c.datasource == servable.datasource, served_versions.c.number == current_number
    sequence = connection.scalar(select(served_versions.c.sequence).where(*current))
    return sequence is None or sequence <= servable.sequence


def _insert(connection: Connection, servable: Servable, number: int, before_number: int | None, now: datetime) -> None:
    connection.execute(
        insert(served_versions).values(
            datasource=servable.datasource,
            number=number,
            before_number=before_number,
            dataset_id=servable.dataset_id,
            attempt=servable.attempt,
            sequence=servable.sequence,
            servable=servable_to_json(servable),
            created_at=now,
        )
    )


def _point(connection: Connection, datasource: str, **numbers: int) -> None:
    connection.execute(update(served_pointers).where(served_pointers.c.datasource == datasource).values(numbers))

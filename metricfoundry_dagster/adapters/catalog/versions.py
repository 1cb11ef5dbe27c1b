"""Versions of datasources, and the pointer to the one that readers see.

A row holds the one dataset that came with its version, and the version that readers saw before. In append mode
the members of a version are those of the version before, with this dataset in its place: so a thousand appended
datasets take a thousand rows of one member, not of a thousand. Rows are never changed.

A rollback moves the pointer to the version that readers saw before the current one was made. What comes next is
judged by the version that is pointed to then: a retry of the dataset that was rolled back is a person's wish and
becomes current again, and an appended one adds to what readers see.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser
from metricfoundry_dagster.adapters.catalog.schema import datasets, datasources, served_pointers, served_versions
from metricfoundry_dagster.adapters.catalog.served_json import servable_from_json, servable_to_json
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, NotFoundError
from metricfoundry_dagster.domain.served import Servable, Version


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A row of `served_versions`."""

    number: int
    before_number: int | None
    servable: Servable
    created_at: datetime

    def holds(self, servable: Servable) -> bool:
        """Whether it came with this attempt of this dataset."""
        return (self.servable.dataset_id, self.servable.attempt) == (servable.dataset_id, servable.attempt)


class SqlVersions(DatabaseUser):
    """A datasource is known here from its first version on, whether or not it is registered."""

    def add_version(self, servable: Servable, now: datetime) -> tuple[Version, bool]:
        """Make a version and move the pointer, by the rules of `ServingEngine.serve`.

        For an attempt that is served already nothing changes: the current version is given if it holds it, else
        the one that came with it.

        Raises:
            ConflictError: `datasource.mode_conflict`.
            FencedError: `attempt.fenced` when a newer attempt of the dataset has begun, or is served.
        """
        with self._database.writing() as connection:
            _require_newest_attempt(connection, servable)
            _require_mode(connection, servable)
            pointer = self._lock_pointer(connection, servable)
            recorded = _recorded(connection, servable.datasource)
            current = recorded.get(pointer.current_number)
            before = _version_of(current, recorded) if current else None
            if before and _key_of(servable) in map(_key_of, before.members):
                return before, True
            _require_none_newer(recorded, servable)
            if repeated := next((row for row in recorded.values() if row.holds(servable)), None):
                return _version_of(repeated, recorded), False
            added = _Recorded(pointer.last_number + 1, pointer.current_number, servable, now)
            becomes_current = current is None or servable.mode is Mode.APPEND or current.servable.sequence <= servable.sequence
            _insert(connection, added, becomes_current=becomes_current)
            return _version_of(added, recorded), becomes_current

    def step_back(self, datasource: str) -> Version:
        """Move the pointer to the version that readers saw before the current one.

        Raises:
            NotFoundError: `datasource.not_found` when nothing was ever served.
            ConflictError: `datasource.no_earlier_version`.
        """
        with self._database.writing() as connection:
            wanted = select(served_pointers).where(served_pointers.c.datasource == datasource).with_for_update(key_share=True)
            pointer = connection.execute(wanted).one_or_none()
            if pointer is None:
                raise NotFoundError("datasource.not_found", f"nothing was ever served as {datasource!r}")
            recorded = _recorded(connection, datasource)
            before_number = recorded[pointer.current_number].before_number
            if before_number is None:
                message = f"version {pointer.current_number} of {datasource!r} is the first that was served"
                raise ConflictError("datasource.no_earlier_version", message)
            _point(connection, datasource, current_number=before_number)
            return _version_of(recorded[before_number], recorded)

    def current_version(self, datasource: str) -> Version | None:
        """The version the pointer is at; None when nothing was ever served."""
        with self._database.reading() as connection:
            return _current(connection, datasource)

    def versions(self, datasource: str) -> list[Version]:
        """All versions, newest first."""
        with self._database.reading() as connection:
            recorded = _recorded(connection, datasource)
        return [_version_of(recorded[number], recorded) for number in sorted(recorded, reverse=True)]

    def current_versions(self) -> list[Version]:
        """The current version of every datasource, by name."""
        with self._database.reading() as connection:
            names = connection.scalars(select(served_pointers.c.datasource).order_by(served_pointers.c.datasource)).all()
            return [version for name in names if (version := _current(connection, name)) is not None]

    def _lock_pointer(self, connection: Connection, servable: Servable) -> Row[Any]:
        first = {"datasource": servable.datasource, "mode": servable.mode, "last_number": 0, "current_number": None}
        self._database.insert_new(connection, served_pointers, [first])
        wanted = select(served_pointers).where(served_pointers.c.datasource == servable.datasource)
        pointer = connection.execute(wanted.with_for_update(key_share=True)).one()
        if pointer.mode != servable.mode:
            raise _mode_conflict(servable, pointer.mode)
        return pointer


def _key_of(servable: Servable) -> tuple[str, int]:
    """Which attempt of which dataset."""
    return servable.dataset_id, servable.attempt


def _require_newest_attempt(connection: Connection, servable: Servable) -> None:
    """Hold the dataset, if it is registered, so that no newer attempt begins before this one is served or refused."""
    wanted = select(datasets.c.current_attempt).where(datasets.c.dataset_id == servable.dataset_id)
    newest = connection.scalar(wanted.with_for_update(key_share=True))
    if newest is not None and newest > servable.attempt:
        raise _fenced(servable, newest)


def _require_none_newer(recorded: Mapping[int, _Recorded], servable: Servable) -> None:
    attempts = [row.servable.attempt for row in recorded.values() if row.servable.dataset_id == servable.dataset_id]
    if attempts and max(attempts) > servable.attempt:
        raise _fenced(servable, max(attempts))


def _require_mode(connection: Connection, servable: Servable) -> None:
    mode = connection.scalar(select(datasources.c.mode).where(datasources.c.slug == servable.datasource))
    if mode is not None and mode != servable.mode:
        raise _mode_conflict(servable, mode)


def _mode_conflict(servable: Servable, kept: str) -> ConflictError:
    message = f"datasource {servable.datasource!r} is kept in mode {kept}, not {servable.mode}"
    return ConflictError("datasource.mode_conflict", message)


def _fenced(servable: Servable, newest: int) -> FencedError:
    message = f"attempt {servable.attempt} of {servable.dataset_id} may not be served, there is attempt {newest}"
    return FencedError("attempt.fenced", message)


def _current(connection: Connection, datasource: str) -> Version | None:
    wanted = select(served_pointers.c.current_number).where(served_pointers.c.datasource == datasource)
    number = connection.scalar(wanted)
    if number is None:
        return None
    recorded = _recorded(connection, datasource)
    return _version_of(recorded[number], recorded)


def _recorded(connection: Connection, datasource: str) -> dict[int, _Recorded]:
    rows = connection.execute(select(served_versions).where(served_versions.c.datasource == datasource))
    return {
        row.number: _Recorded(row.number, row.before_number, servable_from_json(row.servable), row.created_at) for row in rows
    }


def _version_of(row: _Recorded, recorded: Mapping[int, _Recorded]) -> Version:
    """Put a version together; its members are in the order of their sequences."""
    members: dict[str, Servable] = {}
    for earlier in _lineage(row, recorded):
        members.setdefault(earlier.servable.dataset_id, earlier.servable)
    in_order = tuple(sorted(members.values(), key=lambda member: member.sequence))
    return Version(row.servable.datasource, row.number, in_order, row.created_at)


def _lineage(row: _Recorded, recorded: Mapping[int, _Recorded]) -> Iterator[_Recorded]:
    """The versions whose datasets this one holds, newest first."""
    yield row
    while row.servable.mode is Mode.APPEND and row.before_number is not None:
        row = recorded[row.before_number]
        yield row


def _insert(connection: Connection, added: _Recorded, *, becomes_current: bool) -> None:
    servable = added.servable
    connection.execute(
        insert(served_versions).values(
            datasource=servable.datasource,
            number=added.number,
            before_number=added.before_number,
            dataset_id=servable.dataset_id,
            attempt=servable.attempt,
            servable=servable_to_json(servable),
            created_at=added.created_at,
        )
    )
    moved = {"current_number": added.number} if becomes_current else {}
    _point(connection, servable.datasource, last_number=added.number, **moved)


def _point(connection: Connection, datasource: str, **numbers: int) -> None:
    connection.execute(update(served_pointers).where(served_pointers.c.datasource == datasource).values(numbers))

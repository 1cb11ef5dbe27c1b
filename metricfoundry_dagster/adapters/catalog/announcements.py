"""Announcements in a table of their own, one row for each datasource that somebody is about to change in its engine.

Rows are locked last, after datasets, jobs and pointers; who only looks at one locks nothing.
"""

import base64
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, select, tuple_, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser, in_chunks
from metricfoundry_dagster.adapters.catalog.schema import announcements, datasets, jobs, served_pointers, served_versions
from metricfoundry_dagster.adapters.catalog.version_adding import add_versions
from metricfoundry_dagster.adapters.catalog.version_reading import read_version
from metricfoundry_dagster.domain.announcements import Announced, AnnouncedTask, Announcement, Member, Outlook
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, MetricFoundryError, NotFoundError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Servable, Version


class SqlAnnouncements(DatabaseUser):
    """Implements `ports.announcements.Announcements`."""

    def announce(self, servables: Sequence[Servable], now: datetime, valid_until: datetime) -> Announced:
        """As the port says."""
        datasource = servables[0].datasource
        with self._database.writing() as connection:
            outlooks = self._look_ahead(connection, servables, now)
            members = [_member(servable) for servable, outlook in zip(servables, outlooks, strict=True) if outlook.is_new]
            if not members:
                standing = _find(connection, datasource)
                shared = standing is not None and not {_member(servable) for servable in servables}.isdisjoint(standing.members)
                return Announced(None, standing if shared else None, outlooks)
            wanted = _new(datasource, members, None, valid_until)
            return self._announce(connection, wanted, outlooks)

    def announce_rollback(self, datasource: str, valid_until: datetime) -> Announced:
        """As the port says."""
        with self._database.writing() as connection:
            target_number = _number_before(connection, datasource)
            return self._announce(connection, _new(datasource, [], target_number, valid_until), ())

    def announcement(self, datasource: str) -> Announcement | None:
        """The one that stands."""
        with self._database.reading() as connection:
            return _find(connection, datasource)

    def all_announcements(self) -> list[Announcement]:
        """All that stand, by datasource."""
        with self._database.reading() as connection:
            return [
                _announcement_of(row) for row in connection.execute(select(announcements).order_by(announcements.c.datasource))
            ]

    def note(
        self,
        announcement: Announcement,
        *,
        tasks: Sequence[AnnouncedTask] = (),
        segments_before: Mapping[str, Collection[str]] | None = None,
    ) -> Announcement:
        """As the port says."""
        with self._database.writing() as connection:
            standing = _find(connection, announcement.datasource, to_write=True)
            if standing is None or standing.announcement_id != announcement.announcement_id:
                raise _taken_over(announcement)
            changed: dict[str, object] = {"revision": standing.revision + 1}
            if tasks:
                changed["tasks"] = [asdict(task) for task in dict.fromkeys([*standing.tasks, *tasks])]
            if segments_before is not None:
                changed["segments_before"] = _packed(segments_before)
            connection.execute(update(announcements).where(_is(standing)).values(changed))
            return _announcement_of(connection.execute(select(announcements).where(_is(standing))).one())

    def renew(self, announcement: Announcement, valid_until: datetime) -> None:
        """As the port says."""
        with self._database.writing() as connection:
            connection.execute(update(announcements).where(_is(announcement)).values(valid_until=valid_until))

    def stands(self, announcement: Announcement) -> bool:
        """Whether it stands still."""
        with self._database.reading() as connection:
            return connection.scalar(select(announcements.c.revision).where(_is(announcement))) is not None

    def is_at_work(self, announcement: Announcement, now: datetime) -> bool:
        """As the port says."""
        if not announcement.members:
            return now < announcement.valid_until
        with self._database.reading() as connection:
            registered: set[str] = set()
            at_work: set[Member] = set()
            for chunk in in_chunks(announcement.members):
                ids = [dataset_id for dataset_id, _ in chunk]
                registered.update(connection.scalars(select(datasets.c.dataset_id).where(datasets.c.dataset_id.in_(ids))))
                current = (jobs.c.dataset_id == datasets.c.dataset_id) & (jobs.c.attempt == datasets.c.current_attempt)
                wanted = select(jobs.c.dataset_id, jobs.c.attempt).join(datasets, current)
                processing = wanted.where(jobs.c.dataset_id.in_(ids), jobs.c.state == JobState.PROCESSING)
                at_work.update((row.dataset_id, row.attempt) for row in connection.execute(processing))
        unknown = any(dataset_id not in registered for dataset_id, _ in announcement.members)
        return not at_work.isdisjoint(announcement.members) or (unknown and now < announcement.valid_until)

    def recorded(self, announcement: Announcement) -> frozenset[Member]:
        """As the port says."""
        found: set[Member] = set()
        key = served_versions.c.dataset_id, served_versions.c.attempt
        of_datasource = served_versions.c.datasource == announcement.datasource
        with self._database.reading() as connection:
            for chunk in in_chunks(announcement.members):
                rows = connection.execute(select(*key).where(of_datasource, tuple_(*key).in_(chunk)))
                found.update((row.dataset_id, row.attempt) for row in rows)
        return frozenset(found)

    def withdraw(self, announcement: Announcement) -> bool:
        """As the port says."""
        unchanged = announcements.c.revision == announcement.revision
        with self._database.writing() as connection:
            return connection.execute(delete(announcements).where(_is(announcement), unchanged)).rowcount == 1

    def conclude_rollback(self, announcement: Announcement) -> Version:
        """As the port says."""
        datasource, number = announcement.datasource, announcement.target_number
        with self._database.writing() as connection:
            of_datasource = served_pointers.c.datasource == datasource
            connection.execute(select(served_pointers.c.current_number).where(of_datasource).with_for_update(key_share=True))
            if number is None or not connection.execute(delete(announcements).where(_is(announcement))).rowcount:
                raise _taken_over(announcement)
            connection.execute(update(served_pointers).where(of_datasource).values(current_number=number))
            return read_version(connection, datasource, number)

    def _look_ahead(self, connection: Connection, servables: Sequence[Servable], now: datetime) -> tuple[Outlook, ...]:
        """Add the versions, look at what came of it, and take it back."""
        known = _recorded_of(connection, servables)
        trial = connection.begin_nested()
        outcomes = add_versions(connection, self._database, servables, now)
        trial.rollback()
        return tuple(
            Outlook(None, current=False, is_new=False, error=outcome)
            if isinstance(outcome, MetricFoundryError)
            else Outlook(outcome[0], current=outcome[1], is_new=_member(servable) not in known)
            for servable, outcome in zip(servables, outcomes, strict=True)
        )

    def _announce(self, connection: Connection, wanted: dict[str, Any], outlooks: tuple[Outlook, ...]) -> Announced:
        standing = None
        while standing is None:  # one that is withdrawn between the two statements leaves the place free
            self._database.insert_new(connection, announcements, [wanted])
            standing = _find(connection, str(wanted["datasource"]), to_write=True)
        same = [list(member) for member in standing.members] == wanted["members"] and bool(standing.members)
        is_own = same or standing.announcement_id == wanted["announcement_id"]
        return Announced(standing, None, outlooks) if is_own else Announced(None, standing, outlooks)


def _new(datasource: str, members: list[Member], target_number: int | None, valid_until: datetime) -> dict[str, Any]:
    return {
        "datasource": datasource,
        "announcement_id": uuid4().hex[:16],
        "revision": 0,
        "members": [list(member) for member in sorted(members)],
        "target_number": target_number,
        "tasks": [],
        "segments_before": None,
        "valid_until": valid_until,
    }


def _find(connection: Connection, datasource: str, *, to_write: bool = False) -> Announcement | None:
    wanted = select(announcements).where(announcements.c.datasource == datasource)
    row = connection.execute(wanted.with_for_update() if to_write else wanted).one_or_none()
    return _announcement_of(row) if row else None


def _is(announcement: Announcement) -> Any:
    same_id = announcements.c.announcement_id == announcement.announcement_id
    return (announcements.c.datasource == announcement.datasource) & same_id


def _announcement_of(row: Row[Any]) -> Announcement:
    return Announcement(
        announcement_id=row.announcement_id,
        datasource=row.datasource,
        revision=row.revision,
        members=tuple((str(dataset_id), int(attempt)) for dataset_id, attempt in row.members),
        target_number=row.target_number,
        tasks=tuple(AnnouncedTask(**task) for task in row.tasks),
        segments_before=None if row.segments_before is None else _unpacked(row.segments_before),
        valid_until=row.valid_until,
    )


def _packed(segments: Mapping[str, Collection[str]]) -> str:
    """Ids of segments differ in little more than a number, and there may be thousands."""
    text = json.dumps({name: sorted(ids) for name, ids in segments.items()})
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _unpacked(packed: str) -> dict[str, tuple[str, ...]]:
    document = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {name: tuple(ids) for name, ids in document.items()}


def _member(servable: Servable) -> Member:
    return servable.dataset_id, servable.attempt


def _recorded_of(connection: Connection, servables: Sequence[Servable]) -> set[Member]:
    key = served_versions.c.dataset_id, served_versions.c.attempt
    of_datasource = served_versions.c.datasource == servables[0].datasource
    found: set[Member] = set()
    for chunk in in_chunks([_member(servable) for servable in servables]):
        rows = connection.execute(select(*key).where(of_datasource, tuple_(*key).in_(chunk)))
        found.update((row.dataset_id, row.attempt) for row in rows)
    return found


def _number_before(connection: Connection, datasource: str) -> int:
    at_pointer = (served_versions.c.datasource == served_pointers.c.datasource) & (
        served_versions.c.number == served_pointers.c.current_number
    )
    wanted = select(served_versions.c.number, served_versions.c.before_number).join(served_pointers, at_pointer)
    row = connection.execute(wanted.where(served_pointers.c.datasource == datasource)).one_or_none()
    if row is None:
        raise NotFoundError("datasource.not_found", f"nothing was ever served as {datasource!r}")
    if row.before_number is None:
        message = f"version {row.number} of {datasource!r} is the first that was served"
        raise ConflictError("datasource.no_earlier_version", message)
    return int(row.before_number)


def _taken_over(announcement: Announcement) -> FencedError:
    message = f"what was announced for {announcement.datasource} was taken over by another writer"
    return FencedError("attempt.fenced", message)

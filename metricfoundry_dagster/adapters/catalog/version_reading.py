"""Puts versions together from rows that hold one member each; see `versions.py` for what they mean."""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from metricfoundry_dagster.adapters.catalog.database import in_chunks
from metricfoundry_dagster.adapters.catalog.schema import served_pointers, served_versions
from metricfoundry_dagster.adapters.catalog.served_json import servable_from_json
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.served import Servable, Version


def select_current() -> Select[Any]:
    """The rows of the versions that readers see."""
    columns = (served_versions.c[name] for name in ("datasource", "number", "before_number", "servable", "created_at"))
    at_pointer = served_versions.c.datasource == served_pointers.c.datasource
    return select(*columns).join(served_pointers, at_pointer & (served_versions.c.number == served_pointers.c.current_number))


def read_current(connection: Connection, of: Collection[str] | None) -> Iterator[Version]:
    """The versions that readers see, of all datasources for None; those that hold one dataset cost no look of their own."""
    chunks = [None] if of is None else in_chunks(of)
    for chunk in chunks:
        wanted = select_current() if chunk is None else select_current().where(served_pointers.c.datasource.in_(chunk))
        for row in connection.execute(wanted).all():
            yield _version(row, _members(connection, row))


def read_version(connection: Connection, datasource: str, number: int) -> Version:
    """One version; in replace mode this costs one row, however long the history is."""
    row = connection.execute(_rows(datasource).where(served_versions.c.number == number)).one()
    return _version(row, _members(connection, row))


def _members(connection: Connection, row: Row[Any]) -> list[Servable]:
    """The members of a version, its own first; in replace mode there is no other."""
    own = servable_from_json(row.servable)
    if own.mode is Mode.REPLACE:
        return [own]
    numbers = member_numbers(connection, row.datasource, row.number).values()
    members = [own]
    for chunk in in_chunks(number for number in numbers if number != row.number):
        wanted = select(served_versions.c.servable).where(served_versions.c.datasource == row.datasource)
        found = connection.scalars(wanted.where(served_versions.c.number.in_(chunk))).all()
        members += map(servable_from_json, found)
    return members


def read_versions(connection: Connection, datasource: str) -> list[Version]:
    """All versions, newest first."""
    members_of: dict[int | None, dict[str, Servable]] = {None: {}}
    versions: list[Version] = []
    for row in connection.execute(_rows(datasource).order_by(served_versions.c.number)):
        own = servable_from_json(row.servable)
        inherited = members_of[row.before_number] if own.mode is Mode.APPEND else {}
        members_of[row.number] = {**inherited, own.dataset_id: own}
        versions.append(_version(row, members_of[row.number].values()))
    return versions[::-1]


def _rows(datasource: str) -> Any:
    wanted = served_versions.c.datasource, served_versions.c.number, served_versions.c.before_number
    return select(*wanted, served_versions.c.servable, served_versions.c.created_at).where(
        served_versions.c.datasource == datasource
    )


def member_numbers(connection: Connection, datasource: str, number: int) -> dict[str, int]:
    """By dataset, the version that each appended member of a version came with."""
    links = select(served_versions.c.number, served_versions.c.before_number, served_versions.c.dataset_id)
    reachable = links.where(served_versions.c.datasource == datasource, served_versions.c.number <= number)
    by_number = {found: (before, dataset_id) for found, before, dataset_id in connection.execute(reachable).all()}
    numbers: dict[str, int] = {}
    step: int | None = number
    while step is not None:
        before_number, dataset_id = by_number[step]
        numbers.setdefault(dataset_id, step)
        step = before_number
    return numbers


def _version(row: Row[Any], members: Any) -> Version:
    """Members stand in the order in which they were registered."""
    return Version(row.datasource, row.number, tuple(sorted(members, key=lambda member: member.sequence)), row.created_at)

"""Puts versions together from rows that hold one member each; see `versions.py` for what they mean."""

from typing import Any

from sqlalchemy import Connection, Row, select

from metricfoundry_dagster.adapters.catalog.database import in_chunks
from metricfoundry_dagster.adapters.catalog.schema import served_versions
from metricfoundry_dagster.adapters.catalog.served_json import servable_from_json
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.served import Servable, Version


def read_version(connection: Connection, datasource: str, number: int) -> Version:
    """One version; in replace mode this costs one row, however long the history is."""
    row = connection.execute(_rows(datasource).where(served_versions.c.number == number)).one()
    own = servable_from_json(row.servable)
    if own.mode is Mode.REPLACE:
        return _version(row, [own])
    others = [other for other in member_numbers(connection, datasource, number).values() if other != number]
    members = [own]
    for chunk in in_chunks(others):
        wanted = select(served_versions.c.servable).where(served_versions.c.datasource == datasource)
        found = connection.scalars(wanted.where(served_versions.c.number.in_(chunk))).all()
        members += map(servable_from_json, found)
    return _version(row, members)


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

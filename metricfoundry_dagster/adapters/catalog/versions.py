"""Versions of datasources, and the pointer to the one that readers see.

A row holds the one dataset that came with its version, and the version that readers saw before. In append mode
the members of a version are those of the version before, with this dataset in its place: so a thousand appended
datasets take a thousand rows of one member, not of a thousand. Rows are never changed.

A rollback moves the pointer to the version that readers saw before the current one was made. What comes next is
judged by the version that is pointed to then: a retry of the dataset that was rolled back is a person's wish and
becomes current again, and an appended one adds to what readers see.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser
from metricfoundry_dagster.adapters.catalog.schema import served_pointers, served_versions
from metricfoundry_dagster.adapters.catalog.version_adding import add_versions
from metricfoundry_dagster.adapters.catalog.version_reading import read_current, read_version, read_versions, select_current
from metricfoundry_dagster.domain.errors import ConflictError, MetricFoundryError, NotFoundError
from metricfoundry_dagster.domain.served import Servable, Version
from metricfoundry_dagster.ports.catalog import Pointer


class SqlVersions(DatabaseUser):
    """A datasource is known here from its first version on, whether or not it is registered."""

    def add_versions(self, servables: Sequence[Servable], now: datetime) -> list[tuple[int, bool] | MetricFoundryError]:
        """Make versions and move the pointers, in one transaction. Described, with its outcomes, at the port.

        For an attempt that is served already nothing changes.
        """
        with self._database.writing() as connection:
            return add_versions(connection, self._database, servables, now)

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

    def pointers(self) -> list[Pointer]:
        """What every datasource serves now, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select_current().order_by(served_pointers.c.datasource))
            return [Pointer(row.datasource, row.number, row.created_at) for row in rows]

    def current_versions(self, of: Collection[str] | None = None) -> list[Version]:
        """The current version of the datasources that are named, of all for None, by name."""
        with self._database.reading() as connection:
            return sorted(read_current(connection, of), key=lambda version: version.datasource)


def _point(connection: Connection, datasource: str, **numbers: int) -> None:
    connection.execute(update(served_pointers).where(served_pointers.c.datasource == datasource).values(numbers))

"""Puts the catalog together from its parts."""

from metricfoundry_dagster.adapters.catalog.announcements import SqlAnnouncements
from metricfoundry_dagster.adapters.catalog.arrivals import SqlArrivals
from metricfoundry_dagster.adapters.catalog.carried_jobs import SqlCarriedJobs
from metricfoundry_dagster.adapters.catalog.claims import SqlClaims
from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.datasets import SqlDatasets
from metricfoundry_dagster.adapters.catalog.documents import SqlDocuments
from metricfoundry_dagster.adapters.catalog.engine import parse_address
from metricfoundry_dagster.adapters.catalog.jobs import SqlJobs
from metricfoundry_dagster.adapters.catalog.migrate import current_revision, upgrade
from metricfoundry_dagster.adapters.catalog.publications import SqlPublications
from metricfoundry_dagster.adapters.catalog.versions import SqlVersions


class SqlCatalog(
    SqlArrivals, SqlDatasets, SqlClaims, SqlJobs, SqlCarriedJobs, SqlPublications, SqlVersions, SqlAnnouncements, SqlDocuments
):
    """The whole catalog on one database. Call `upgrade` before anything else."""

    def upgrade(self) -> None:
        """Bring the schema to the newest revision; safe to call from several processes at once, cheap when done."""
        upgrade(self._database)

    def check(self) -> str:
        """The schema revision in use, or `none` before the first upgrade. Raises WorldError `catalog.unreachable`."""
        return current_revision(self._database) or "none"

    def close(self) -> None:
        """Give back resting connections. The catalog can still be used afterwards."""
        self._database.close()


def open_catalog(database_url: str) -> SqlCatalog:
    """The catalog at `sqlite:////absolute/path` or `postgresql://user:password@host:port/name`; nothing connects yet.

    The directory of a SQLite file is made.

    Raises:
        UserError: `request.invalid` for any other address.
        WorldError: `catalog.unreachable` when the directory cannot be made.
    """
    return SqlCatalog(Database(parse_address(database_url)))

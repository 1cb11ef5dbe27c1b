"""Brings the catalog's tables to a revision, in one transaction, by one process at a time.

The revisions are Alembic scripts in `migrations/versions`; they come with the package.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.schema import HEAD_REVISION
from metricfoundry_dagster.domain.errors import WorldError

if TYPE_CHECKING:
    from alembic.config import Config

#: Any number will do, as long as nobody else locks it in the same database.
_ADVISORY_LOCK = 4_862_159_301


def current_revision(database: Database) -> str | None:
    """The revision that the tables are at; None before the first upgrade."""
    with database.reading() as connection:
        return _revision(connection)


def upgrade(database: Database) -> None:
    """Bring the tables to the newest revision; another process that does the same waits, and finds it done.

    Raises:
        WorldError: `catalog.unreachable`, also when a newer version of this program has upgraded the database.
    """
    if current_revision(database) == HEAD_REVISION:
        return
    if database.is_sqlite:
        database.enter_wal_mode()
    with database.writing() as connection:
        _wait_for_turn(database, connection)
        revision = _revision(connection)
        if revision is not None and revision > HEAD_REVISION:
            message = f"{database.address} is at revision {revision}, newer than {HEAD_REVISION}, which this version knows"
            raise WorldError("catalog.unreachable", message, hint="Use the version that upgraded it, or a newer one.")
        _run(connection, HEAD_REVISION, up=True)


def downgrade(database: Database, revision: str) -> None:
    """Bring the tables back to an older revision, or to `base`, which drops them all with what they hold."""
    with database.writing() as connection:
        _wait_for_turn(database, connection)
        _run(connection, revision, up=False)


def _wait_for_turn(database: Database, connection: Connection) -> None:
    if not database.is_sqlite:  # there the transaction itself is the lock
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _run(connection: Connection, revision: str, *, up: bool) -> None:
    from alembic import command  # a database that is up to date, nearly every one, needs none of it

    config = _config(connection)
    (command.upgrade if up else command.downgrade)(config, revision)


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config

"""Where Dagster keeps runs and events: SQLite files below its home, or a schema of a PostgreSQL.

Put here how that storage is addressed, made and brought up to date, once for any number of processes that ask at the
same time. What goes into `dagster.yaml` is in `dagster_home.py`.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from metricfoundry_dagster.adapters.catalog.engine import address_without_secrets, is_sqlite, parse_address
from metricfoundry_dagster.domain.errors import SettingsError, UserError, WorldError

#: `deploy/dagster.yaml` takes the address from this variable, so that no file holds the password.
ADDRESS_VARIABLE = "METRICFOUNDRY_DAGSTER_DATABASE_URL"

_SCHEMA = "dagster"
#: One more than the catalog's lock: both may be in one database.
_ADVISORY_LOCK = 4_862_159_302
#: Says by which Dagster the storage was brought up to date last; lies in the same schema, so that a backup holds both.
_MARK_TABLE = "metricfoundry_dagster_storage"
#: For every connection of Dagster, unless the address says otherwise: a statement into a dead network must end.
_QUERY = {
    "application_name": "metricfoundry-dagster",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def storage_address(database_url: str, dagster_database_url: str | None) -> URL | None:
    """The address of Dagster's PostgreSQL, spelled for SQLAlchemy; None when it is SQLite files below the home.

    Without one of its own it is the catalog's database. Both keep a table `alembic_version`, so Dagster's tables lie
    in the schema `dagster`, unless the address given for them names a search path itself.

    Raises:
        SettingsError: `settings.invalid`; never names a password.
    """
    catalog_url = _parse(database_url)
    url = _parse(dagster_database_url) if dagster_database_url is not None else catalog_url
    if url is None or is_sqlite(url):
        if dagster_database_url is None:
            return None
        raise _wrong_setting("it is not the address of a PostgreSQL", "Leave it out to keep Dagster's storage in SQLite files.")
    options = _options(url)
    if dagster_database_url is None or "search_path" not in options:
        _require_that_the_catalog_is_still_found(catalog_url, url)
        options = f"{options} -c search_path={_SCHEMA}".strip()
    return url.set(query={**_QUERY, **url.query, "options": options})


def bring_up_to_date(url: URL | None, folder: Path, environment: Mapping[str, str]) -> None:
    """Make the storage, or migrate what an older Dagster made; cheap when that is done.

    `folder` is DAGSTER_HOME with its `dagster.yaml`, `environment` what the processes of Dagster get beside our own.

    Raises:
        WorldError: `dagster.unreachable`.
    """
    if url is None:
        _bring_files_up_to_date(folder, environment)
    else:
        with _connected(url) as connection:
            _bring_schema_up_to_date(connection, environment)


def _bring_files_up_to_date(folder: Path, environment: Mapping[str, str]) -> None:
    """Let Dagster make its SQLite files alone: two processes that make them at once spoil them.

    Seen in 1.13.27: both insert the first revision, and every later start fails with "multiple heads".
    """
    mark = folder / ".storage_made"
    if _content(mark) == version("dagster"):
        return
    with (folder / ".storage_lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _content(mark) != version("dagster"):
            _migrate(f"in {folder}", None, environment)
            mark.write_text(version("dagster"))


def _bring_schema_up_to_date(connection: Connection, environment: Mapping[str, str]) -> None:
    if _marked_version(connection) == version("dagster"):
        return
    # Whoever waits here finds it done; the session that did it lets go of it however it ends.
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
    if _marked_version(connection) == version("dagster"):
        return
    _make_schema(connection)
    url = connection.engine.url
    _migrate(f"at {address_without_secrets(url)}", url, environment)
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {_MARK_TABLE} (dagster_version text NOT NULL)"))
    connection.execute(text(f"DELETE FROM {_MARK_TABLE}"))  # noqa: S608 - a name of ours
    connection.execute(text(f"INSERT INTO {_MARK_TABLE} VALUES (:version)"), {"version": version("dagster")})  # noqa: S608 - as above


def _marked_version(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": _MARK_TABLE}) is None:
        return None
    marked: str | None = connection.scalar(text(f"SELECT max(dagster_version) FROM {_MARK_TABLE}"))  # noqa: S608 - a name of ours
    return marked


def _make_schema(connection: Connection) -> None:
    """Make the schema that is first in the search path, unless it is there."""
    if connection.scalar(text("SELECT current_schema()")) is None:
        first = str(connection.scalar(text("SHOW search_path"))).partition(",")[0].strip().strip('"')
        connection.execute(CreateSchema(first, if_not_exists=True))


def _migrate(where: str, url: URL | None, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "instance", "migrate"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = _without_password(done.stderr[-500:], url, f"exit code {done.returncode}")
        raise WorldError("dagster.unreachable", f"Dagster's storage {where} cannot be made: {reason}")


def _without_password(reason: str, url: URL | None, otherwise: str) -> str:
    """What a program said, when it does not spell the password; else something that does not."""
    return otherwise if url and url.password and str(url.password) in reason else " ".join(reason.split())


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    address = address_without_secrets(url)
    try:
        with create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
            yield connection
    except DBAPIError as error:
        hint = f"Check {ADDRESS_VARIABLE} or METRICFOUNDRY_DATABASE_URL, and that the database is up."
        reason = _without_password(str(error.orig), url, type(error).__name__)
        raise WorldError("dagster.unreachable", f"Dagster's storage at {address}: {reason}", hint=hint) from None


def _require_that_the_catalog_is_still_found(catalog_url: URL | None, url: URL) -> None:
    """A user finds the schema of its own name before any other: one called `dagster` would find Dagster's tables there."""
    if catalog_url is None or "search_path" in _options(catalog_url):
        return
    is_shared = (catalog_url.host, catalog_url.port, catalog_url.database) == (url.host, url.port, url.database)
    if is_shared and catalog_url.username == _SCHEMA:
        hint = f"Use a user of another name for the catalog, or set {ADDRESS_VARIABLE} to a database of its own."
        raise _wrong_setting(f"the catalog's user {_SCHEMA} would take Dagster's schema of that name for its own", hint)


def _parse(address: str) -> URL | None:
    try:
        return parse_address(address)
    except UserError:
        return None


def _options(url: URL) -> str:
    options = url.query.get("options", "")
    return options if isinstance(options, str) else " ".join(options)


def _content(mark: Path) -> str | None:
    try:
        return mark.read_text()
    except FileNotFoundError:
        return None


def _wrong_setting(problem: str, hint: str) -> SettingsError:
    return SettingsError("settings.invalid", f"{ADDRESS_VARIABLE}: {problem}", hint=hint)

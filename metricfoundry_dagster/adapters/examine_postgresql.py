"""Examines the databases: reachable, new enough, ours to write, at which revision, with connections left and a right clock."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, Connection, text

from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.engine import is_sqlite
from metricfoundry_dagster.adapters.catalog.migrate import current_revision
from metricfoundry_dagster.adapters.catalog.schema import HEAD_REVISION
from metricfoundry_dagster.domain.checks import Check, check_clock, failed
from metricfoundry_dagster.domain.errors import WorldError

_OLDEST = 13  # the oldest of the versions whose statements are used here: `gen_random_uuid`, `ON CONFLICT`, `key_share`
_WARN_SECONDS = 60


def examine_catalog(url: URL, connections_needed: int) -> Iterator[Check]:
    """The catalog's database. Its tables are neither made nor upgraded by looking.

    `connections_needed` is how many connections at once our processes open at the most.
    """
    if is_sqlite(url) and not Path(url.database or "").exists():
        yield _judge_missing_file(Path(url.database or ""))
        return
    database = Database(url)
    try:
        revision = current_revision(database)
        yield _judge_revision(database.address, revision)
        if not database.is_sqlite:
            yield from _examine_server(database, "catalog", connections_needed, makes_tables=revision != HEAD_REVISION)
    except WorldError as error:
        yield failed("catalog", error, _next_step(error, "METRICFOUNDRY_DATABASE_URL"))
    finally:
        database.close()


def examine_dagster_storage(url: URL, *, is_elsewhere: bool) -> Iterator[Check]:
    """Dagster's storage in a PostgreSQL. `is_elsewhere` says that it is another server than the catalog's, not looked at yet."""
    database, name = Database(url), "dagster storage"
    try:
        with database.reading() as connection:
            schema = connection.scalar(text("SELECT current_schema()"))
            is_made = connection.scalar(text("SELECT to_regclass('event_logs')")) is not None
        detail = f"schema {schema} of {database.address}" if is_made else f"not made yet in {database.address}"
        yield Check(name, "ok", detail if is_made else f"{detail}; the first start makes it")
        if is_elsewhere:
            yield from _examine_server(database, name, 0, makes_tables=not is_made)
    except WorldError as error:
        yield failed(name, error, _next_step(error, "METRICFOUNDRY_DAGSTER_DATABASE_URL"))
    finally:
        database.close()


def _judge_missing_file(file: Path) -> Check:
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if os.access(folder, os.W_OK):
        return Check("catalog", "ok", f"no file yet at {file}; the first start makes it")
    step = "Let this user write there, or set METRICFOUNDRY_HOME to another directory."
    return Check("catalog", "failed", f"{file} cannot be made: {folder} may not be written", step)


def _judge_revision(address: str, revision: str | None) -> Check:
    if revision is None:
        return Check("catalog", "ok", f"no tables yet in {address}; the first start makes them")
    if revision == HEAD_REVISION:
        return Check("catalog", "ok", f"schema revision {revision} at {address}")
    if revision < HEAD_REVISION:
        return Check("catalog", "ok", f"schema revision {revision} at {address}; the next start makes {HEAD_REVISION} of it")
    detail = f"schema revision {revision} at {address}, newer than {HEAD_REVISION}, which this version knows"
    return Check("catalog", "failed", detail, "Use the version that upgraded it, or a newer one.")


def _examine_server(database: Database, name: str, connections_needed: int, *, makes_tables: bool) -> Iterator[Check]:
    before = datetime.now(UTC)
    with database.reading() as connection:
        there = connection.scalar(text("SELECT clock_timestamp()"))
        middle = before + (datetime.now(UTC) - before) / 2
        yield _judge_version(connection, name)
        yield from _judge_rights(connection, name, makes_tables=makes_tables)
        if connections_needed:
            yield _judge_connections(connection, name, connections_needed)
    why = "times of datasets and runs come from both"
    skew_seconds = (there - middle).total_seconds() if there else 0.0
    yield check_clock(f"{name} clock", skew_seconds, warn_seconds=_WARN_SECONDS, fail_seconds=None, why=why)


def _judge_version(connection: Connection, name: str) -> Check:
    number, shown = (str(connection.scalar(text(f"SHOW {word}"))) for word in ("server_version_num", "server_version"))
    detail = f"PostgreSQL {shown.partition(' ')[0]}"
    if int(number) // 10_000 >= _OLDEST:
        return Check(f"{name} server", "ok", detail)
    return Check(f"{name} server", "failed", f"{detail} is too old", f"Use PostgreSQL {_OLDEST} or newer.")


def _judge_rights(connection: Connection, name: str, *, makes_tables: bool) -> Iterator[Check]:
    """Whether what is to be made can be made; a server that only reads cannot hold anything at all."""
    is_standby = connection.scalar(text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"))
    if is_standby:
        step = "Point the address at the primary, or let the user write."
        yield Check(f"{name} rights", "failed", "the database only reads", step)
    can_create = text(
        "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), has_database_privilege(current_database(), 'CREATE'))"
    )
    if makes_tables and not connection.scalar(can_create):
        step = "GRANT CREATE ON SCHEMA public TO the user of the address, as the database's owner."
        yield Check(f"{name} rights", "failed", "tables cannot be made by this user", step)


def _judge_connections(connection: Connection, name: str, needed: int) -> Check:
    taken = int(connection.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")) or 0)
    limits = text(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,"
        " (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
        " (SELECT datconnlimit FROM pg_database WHERE datname = current_database())"
    )
    most = min(int(limit) for limit in connection.execute(limits).one() if limit is not None and limit >= 0)
    detail = f"{max(most - taken, 0)} of {most} are free, about {needed} are needed at the most"
    if most - taken >= needed:
        return Check(f"{name} connections", "ok", detail)
    step = "Raise max_connections of the server, or lower METRICFOUNDRY_MAX_CONCURRENT_RUNS."
    return Check(f"{name} connections", "warning", detail, step)


def _next_step(error: WorldError, variable: str) -> str:
    message = error.record.message
    if "password authentication failed" in message or "no password supplied" in message:
        return f"Check user and password in {variable}."
    if "does not exist" in message:
        return f"Make the database or the role, or check their names in {variable}."
    if "too many clients" in message or "remaining connection slots" in message:
        return "Raise max_connections of the server, or stop what holds them."
    return f"Check {variable}, and that the database is up."

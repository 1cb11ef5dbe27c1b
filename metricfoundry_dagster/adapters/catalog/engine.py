"""From a database address to a SQLAlchemy engine whose transactions mean the same on SQLite and on PostgreSQL.

Put here what differs between the two when connecting. Nothing connects before the first transaction.
"""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from metricfoundry_dagster.domain.errors import UserError

#: Execution option of a connection that is going to write.
WRITING = "metricfoundry_writing"

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "postgresql+psycopg2": "postgresql+psycopg2",
}
#: How long a writer waits for another before it gives up. Transactions here take milliseconds.
_LOCK_WAIT_SECONDS = 30
#: A process that is stopped in the middle of a transaction loses it, instead of holding everybody up.
_IDLE_IN_TRANSACTION_SECONDS = 60
_POSTGRESQL_ARGUMENTS: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "metricfoundry",
    "options": f"-c lock_timeout={_LOCK_WAIT_SECONDS}s -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_SECONDS}s",
    # Without these a statement into a dead network waits for ever.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def parse_address(database_url: str) -> URL:
    """Read `sqlite:////absolute/path` or `postgresql://user:password@host:port/name`, and choose the driver.

    Raises:
        UserError: `request.invalid` for another database, or for SQLite without a file. Never names the password.
    """
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise _refusal("the database address cannot be read") from None
    if url.drivername not in _DRIVERS:
        raise _refusal(f"a {_only_word(url.drivername)} database cannot hold the catalog")
    url = url.set(drivername=_DRIVERS[url.drivername])
    if is_sqlite(url) and (url.database or ":memory:") == ":memory:":
        raise _refusal("a SQLite catalog needs a file, since several processes share it")
    return url


def is_sqlite(url: URL) -> bool:
    """Whether the database is a file of ours."""
    return url.get_backend_name() == "sqlite"


def address_without_secrets(url: URL) -> str:
    """The address as it may be shown: no user, no password, no options."""
    return URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database).render_as_string()


def build_engine(url: URL) -> Engine:
    """An engine with its pool, not yet connected. Parameters of statements never get into messages."""
    if is_sqlite(url):
        return _build_sqlite(url)
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_recycle=1_800,
        executemany_mode="values_plus_batch",  # else inserts that pass over existing rows go one by one
        connect_args=_unless_given(url, _POSTGRESQL_ARGUMENTS),
    )


def _build_sqlite(url: URL) -> Engine:
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    # No pre-ping: there is no server that could have gone away.
    engine = create_engine(url, hide_parameters=True, connect_args=_unless_given(url, {"timeout": _LOCK_WAIT_SECONDS}))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _unless_given(url: URL, arguments: dict[str, Any]) -> dict[str, Any]:
    """Our arguments without those that the address itself chooses."""
    return {name: value for name, value in arguments.items() if name not in url.query}


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, and too late
    connection.execute("PRAGMA foreign_keys = ON")
    # In WAL mode this survives the death of any process; a power cut may take back the last moments as a whole,
    # and what they held is found and done again.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock before the first read: what is read then still holds when it is written."""
    writing = connection.get_execution_options().get(WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _only_word(drivername: str) -> str:
    word = re.match(r"[a-z0-9]{1,20}", drivername)
    return word.group() if word else "nameless"


def _refusal(message: str) -> UserError:
    hint = "Write METRICFOUNDRY_DATABASE_URL as sqlite:////path/catalog.db or postgresql://user:password@host:5432/name."
    return UserError("request.invalid", message, hint=hint)

"""Transactions on the catalog's database, and what becomes of the database's errors.

Every part of the catalog runs its statements inside `reading` or `writing`; no other module opens a connection.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from metricfoundry_dagster.adapters.catalog.engine import WRITING, address_without_secrets, build_engine, is_sqlite
from metricfoundry_dagster.domain.errors import WorldError

#: Values in one statement; SQLite takes 32,766 at the most.
_CHUNK = 5_000
_UNDEFINED_TABLE = "42P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html

_kept_engines: dict[URL, Engine] = {}

Value = TypeVar("Value")


def keep_engine(url: URL, engine: Engine) -> None:
    """Let the next `Database` at this address use this engine, which nothing has used yet."""
    _kept_engines[url] = engine


class Database:
    """One database. May be made before a fork and used on both sides of it."""

    def __init__(self, url: URL) -> None:
        self.address = address_without_secrets(url)
        self.is_sqlite = is_sqlite(url)
        self.url = url
        self._inherited: list[Engine] = []
        self._pid = os.getpid()
        try:
            self._engine = _kept_engines.pop(url) if url in _kept_engines else build_engine(url)
        except OSError as error:
            raise WorldError("catalog.unreachable", f"{self.address}: {error.strerror}") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and never waits for a writer.

        Raises:
            WorldError: `catalog.unreachable`.
        """
        with self._translated(), self._engine_here().connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that commits on leaving, and leaves no trace after an exception.

        SQLite lets in one writer at a time. On PostgreSQL the rows that are read in order to be written must be
        locked, always in this order: datasources, datasets, jobs; pointers come last.

        Raises:
            WorldError: `catalog.unreachable`.
        """
        with self._translated(), self._engine_here().connect() as connection:
            connection.execution_options(**{WRITING: True})
            with connection.begin():
                yield connection

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[dict[str, object]]) -> None:
        """Insert the rows that are not there yet, by any unique key, in one statement for many."""
        dialect = sqlite if self.is_sqlite else postgresql
        if rows:
            connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)

    def enter_wal_mode(self) -> None:
        """SQLite: let readers go on while somebody writes. The file remembers it.

        Raises:
            WorldError: `catalog.unreachable`.
        """
        with self._translated(), self._engine_here().connect() as connection:
            try:  # past SQLAlchemy, which would begin a transaction: this works only outside of one
                connection.connection.cursor().execute("PRAGMA journal_mode = WAL")
            except sqlite3.Error as error:
                raise WorldError("catalog.unreachable", f"{self.address}: {error}") from error

    def close(self) -> None:
        """Give back the connections that rest in the pool."""
        self._engine_here().dispose()

    def _engine_here(self) -> Engine:
        if self._pid != os.getpid():
            # The parent goes on using its connections: they must be neither used nor closed on this side.
            self._inherited.append(self._engine)
            self._engine = build_engine(self.url)
            self._pid = os.getpid()
        return self._engine

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            raise self._unreachable(error) from None
        except DBAPIError as error:
            if not _is_the_worlds(error):
                raise
            raise self._unreachable(error) from None  # the cause may spell the whole connection

    def _unreachable(self, error: DBAPIError | PoolTimeout) -> WorldError:
        if isinstance(error, DBAPIError) and _is_missing_table(error):
            message = f"{self.address} does not hold the catalog's tables yet"
            return WorldError("catalog.unreachable", message, hint="`metricfoundry up` makes them.")
        reason = (str(error.orig) if isinstance(error, DBAPIError) else str(error)).strip()
        if self.url.password and str(self.url.password) in reason:
            reason = type(error).__name__
        return WorldError("catalog.unreachable", f"{self.address}: {' '.join(reason.split())}")


class DatabaseUser:
    """What every part of the catalog is made from."""

    def __init__(self, database: Database) -> None:
        self._database = database


def in_chunks(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Cut values into lists that fit one statement."""
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _is_the_worlds(error: DBAPIError) -> bool:
    """Whether the database is away, damaged or not ours; everything else is a statement that we got wrong."""
    # A plain DatabaseError is what a damaged SQLite file gives; without a statement it was about the connection.
    away = isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError or error.statement is None
    return away or error.connection_invalidated or _is_missing_table(error)


def _is_missing_table(error: DBAPIError) -> bool:
    return "no such table" in str(error.orig) or getattr(error.orig, "pgcode", None) == _UNDEFINED_TABLE

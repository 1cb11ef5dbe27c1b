"""DuckDB in memory: one kind runs people's reading statements over given files and reaches nothing else, one counts for us.

What the views are is `duckdb_views`; which versions they show is decided in `duckdb_engine`.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from metricfoundry_dagster.adapters.duckdb_views import list_literal
from metricfoundry_dagster.domain.errors import UserError, WorldError
from metricfoundry_dagster.domain.served import QueryAnswer

_MAX_SQL_CHARS = 100_000
#: Failures of the engine or its files, as opposed to those of a statement.
_ENGINE_ERRORS = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException)


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What one DuckDB may use, and how long one statement may take."""

    memory_bytes: int = 1024**3
    spill_bytes: int = 10 * 1024**3
    threads: int = 2
    timeout_seconds: float = 60.0


class LockedDatabase:
    """Views over `files`, made by `view_statements`; closed to every other file, to the network and to changed settings.

    Raises:
        WorldError: `serving.engine_failed` when a view cannot be made, as when a file is gone.
    """

    def __init__(self, files: Sequence[Path], view_statements: Sequence[str], spill_dir: Path, limits: EngineLimits) -> None:
        self._limits = limits
        try:
            self._database = _open(spill_dir, limits)
            self._database.execute(f"SET allowed_paths = {list_literal(files)}")
            self._database.execute("SET enable_external_access = false")
            for statement in view_statements:
                self._database.execute(statement)
            self._database.execute("SET lock_configuration = true")
        except duckdb.Error as error:
            raise WorldError("serving.engine_failed", f"the served files cannot be opened: {error}") from error

    def read(self, sql: str, max_rows: int) -> QueryAnswer:
        """Run one reading statement; at most one row above `max_rows` is ever fetched.

        Raises:
            UserError: `query.invalid` for anything but one SELECT, VALUES, DESCRIBE, SHOW or SUMMARIZE, or one that
                fails or takes too long; `query.too_many_rows`.
            WorldError: `serving.engine_failed`.
        """
        if len(sql) > _MAX_SQL_CHARS:
            raise UserError("query.invalid", f"the statement has more than {_MAX_SQL_CHARS:,} characters")
        cursor = self._database.cursor()
        try:
            with _time_limit(cursor, self._limits.timeout_seconds):
                cursor.execute(_single_reading_statement(cursor, sql))
                rows = cursor.fetchmany(max_rows + 1)
                described: list[Any] = cursor.description or []
        except _ENGINE_ERRORS as error:
            raise WorldError("serving.engine_failed", f"DuckDB failed: {error}") from error
        except (duckdb.Error, ValueError, OverflowError) as error:
            raise UserError("query.invalid", str(error)) from error
        finally:
            cursor.close()
        if len(rows) > max_rows:
            raise UserError("query.too_many_rows", f"the answer has more than {max_rows:,} rows")
        return QueryAnswer(tuple(str(d[0]) for d in described), tuple(str(d[1]) for d in described), rows)


class CountingDatabase:
    """Counts rows of any files, by queries of ours only. Kept open, since opening one costs more than counting."""

    def __init__(self, spill_dir: Path, limits: EngineLimits) -> None:
        # Counts are in the footers of the files: a second thread would have nothing to do, and costs a fifth of opening.
        self._database = _open(spill_dir, replace(limits, threads=1))

    def count(self, count_query: str) -> dict[str, int]:
        """The answer of a query for names and rows. Raises WorldError `serving.engine_failed`."""
        cursor = self._database.cursor()
        try:
            return dict(cursor.execute(count_query).fetchall())
        except duckdb.Error as error:
            raise WorldError("serving.engine_failed", f"the served files cannot be counted: {error}") from error
        finally:
            cursor.close()


def _open(spill_dir: Path, limits: EngineLimits) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{limits.memory_bytes}B",
        "max_temp_directory_size": f"{limits.spill_bytes}B",
        "temp_directory": str(spill_dir),
        "threads": limits.threads,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_file_cache": False,  # the system caches local files already
        "python_enable_replacements": False,  # or a statement could name variables of this process
    }
    database = duckdb.connect(":memory:", config=settings)
    database.execute("SET TimeZone = 'UTC'")
    return database


def _single_reading_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise UserError("query.invalid", f"there are {len(statements)} statements where one is wanted")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise UserError("query.invalid", f"{statements[0].type.name} does not read: only SELECT and the like can be run")
    return statements[0]


@contextmanager
def _time_limit(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        cursor.interrupt()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException:
        if expired.is_set():
            raise UserError("query.invalid", f"the statement was stopped after {seconds:g} seconds") from None
        raise
    finally:
        timer.cancel()

"""An SQLite file that is read and nothing else: its tables, and guarded ways to ask it.

The file alone is read, as it is, without locks and without a journal beside it. What it brings along never runs here:
tables are read by plain scans, and views, virtual tables and generated columns in a child process with limits.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits

_SECONDS_AT_LEAST, _BYTES_A_SECOND = 30, 4 * 1024**2
_AFTER_EXPIRY_SECONDS = 0.05
_MANGLED = ("malformed", "not a database", "file is encrypted", "disk I/O error", "UTF-8")


class Text(bytes):
    """The bytes of a TEXT value, which need not be valid UTF-8; a BLOB comes as plain bytes."""


@dataclass(frozen=True, slots=True)
class SqliteColumn:
    """A column as the file declares it; `expression` reads it. In a `copied` one, what is declared did not shape the values."""

    name: str
    declared: str
    expression: str
    copied: bool = False

    @property
    def affinity(self) -> str:
        """`integer`, `text`, `none`, `real` or `numeric`, by SQLite's own rules."""
        declared = self.declared.upper()
        rules = (("INT", "integer"), ("CHAR", "text"), ("CLOB", "text"), ("TEXT", "text"), ("BLOB", "none"))
        for part, affinity in (*rules, ("REAL", "real"), ("FLOA", "real"), ("DOUB", "real")):
            if part in declared:
                return affinity
        return "numeric" if declared else "none"


@dataclass(frozen=True, slots=True)
class SqliteTable:
    """A table that plain scans read, in the file at `path`. `name` is as the file has it, `reference` names it in SQL.

    `rowid` is the name under which its rows' numbers can be read, None when there are none. `defaults_bytes` is at most what
    a row has in columns that were added after it.
    """

    path: Path
    name: str
    reference: str
    columns: tuple[SqliteColumn, ...]
    rowid: str | None
    defaults_bytes: int = 0


class SqliteFile:
    """One open file. Use it in a `with` block; `source` names the file in errors."""

    def __init__(self, path: Path, source: str, limits: Limits) -> None:
        self.path, self.source, self.limits = path, source, limits
        self.max_seconds = min(_SECONDS_AT_LEAST, limits.max_view_seconds) + path.stat().st_size / _BYTES_A_SECOND

    @contextmanager
    def connection(self, path: Path, table: str) -> Iterator[sqlite3.Connection]:
        """A connection that gives up after a time that any honest file of the size suffices with.

        Raises:
            UserError: `sqlite.corrupt`, `sqlite.unreadable` or `sqlite.time_limit` in place of SQLite's errors.
        """
        expired = threading.Event()
        try:
            with closing(sqlite3.connect(read_only_uri(path), uri=True, isolation_level=None)) as connection:
                connection.text_factory = Text
                for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "temp_store=FILE"):
                    connection.execute(f"PRAGMA {pragma}")
                with _watched(connection, self.max_seconds, expired):
                    yield connection
        except (sqlite3.Error, ValueError, OverflowError, MemoryError) as error:
            if expired.is_set():
                self.refuse_slowness(table, self.max_seconds)
            raise self.refusal(error, table) from error

    def refusal(self, error: Exception, table: str | None = None) -> UserError:
        """What a user is told when SQLite says so."""
        words = (str(error).splitlines() or [type(error).__name__])[0][:300]
        place = Place(file=self.source, table=table or None)
        damaged = any(part in words for part in _MANGLED)
        code, what = ("sqlite.corrupt", "is damaged") if damaged else ("sqlite.unreadable", "cannot be read")
        subject = f"the table {table!r}" if table else "the SQLite file"
        return UserError(code, f"{subject} {what}: {words}", place=place)

    def refuse_slowness(self, table: str, seconds: float) -> NoReturn:
        """Raise `sqlite.time_limit`."""
        message = f"{table!r} was not read within {seconds:.0f} seconds"
        raise UserError("sqlite.time_limit", message, place=Place(file=self.source, table=table or None))

    def require_size_allowed(self, unpacked_bytes: int, table: str) -> None:
        """Raise `file.too_large`."""
        if unpacked_bytes > self.limits.max_unpacked_bytes:
            message = f"{table!r} unpacks to more than {self.limits.max_unpacked_bytes} bytes"
            raise UserError("file.too_large", message, place=Place(file=self.source, table=table))

    def require_columns_allowed(self, count: int, table: str) -> None:
        """Raise `csv.too_many_columns`."""
        if count > self.limits.max_columns:
            message = f"{table!r} has {count} columns, {self.limits.max_columns} are allowed"
            raise UserError("csv.too_many_columns", message, place=Place(file=self.source, table=table))


def read_only_uri(path: Path) -> str:
    """A URI under which SQLite reads the file alone: no lock, no journal, nothing is made beside it."""
    return f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _watched(connection: sqlite3.Connection, seconds: float, expired: threading.Event) -> Iterator[None]:
    """Interrupts whatever runs from then on. A progress handler would not: counting rows is one step to it."""
    ended = threading.Event()

    def watch() -> None:
        wait = seconds
        while not ended.wait(wait):
            expired.set()
            connection.interrupt()
            wait = _AFTER_EXPIRY_SECONDS

    watcher = threading.Thread(target=watch, daemon=True, name="sqlite-deadline")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()

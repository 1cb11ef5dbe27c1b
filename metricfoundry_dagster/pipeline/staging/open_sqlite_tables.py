"""The tables of an SQLite file: which there are, and each made ready for plain scans.

Views, virtual tables and generated columns run what the file brings along: a child process with limits copies what they give.
"""

import json
import re
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.pipeline.staging.sqlite_file import SqliteColumn, SqliteFile, SqliteTable, quoted, read_only_uri

_CHILD = Path(__file__).with_name("copy_sqlite_view.py")
_CHILD_MEMORY_BYTES = 1024**3
_COPY_BYTES_AT_LEAST, _COPY_TIMES_FILE = 1024**3, 20
_ROWID_NAMES = ("rowid", "_rowid_", "oid")
#: Tables in which the modules of virtual tables keep what they show.
_SHADOWS = {
    "fts3": ("content", "segments", "segdir", "docsize", "stat"),
    "fts4": ("content", "segments", "segdir", "docsize", "stat"),
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "rtree": ("node", "parent", "rowid"),
    "rtree_i32": ("node", "parent", "rowid"),
}
_USING = re.compile(r"\sUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """Something in the file that can become a table: `kind` is "table", "virtual" or "view"."""

    name: str
    kind: str


class SqliteTables:
    """The tables of one open file; copies lie in `scratch`."""

    def __init__(self, file: SqliteFile, scratch: Path) -> None:
        self.file, self._scratch = file, scratch
        self._copies = 0

    def found(self, *, views: bool) -> list[Found]:
        """The tables, and the views if they are asked for, in the order in which they were made.

        Raises:
            UserError: `sqlite.corrupt`, `sqlite.too_many_tables`, `file.empty` when there is none.
        """
        entries = self._schema_entries()
        virtual = {name: sql for kind, name, sql in entries if kind == "table" and _is_virtual(sql)}
        hidden = {f"{name}_{part}".lower() for name, sql in virtual.items() for part in _SHADOWS.get(_module(sql), ())}
        found = [
            Found(name, "view" if kind == "view" else "virtual" if name in virtual else "table")
            for kind, name, _sql in entries
            if not name.lower().startswith("sqlite_") and name.lower() not in hidden and (kind == "table" or views)
        ]
        if len(found) > self.file.limits.max_tables:
            message = f"the file has {len(found)} tables, {self.file.limits.max_tables} are allowed"
            raise UserError("sqlite.too_many_tables", message, place=Place(file=self.file.source))
        if not found:
            raise UserError("file.empty", "the SQLite file has no table", place=Place(file=self.file.source))
        return found

    def opened(self, found: Found, *, max_rows: int | None = None) -> SqliteTable:
        """The table, ready for plain scans; what is no plain table is copied first, at most `max_rows` of it.

        Raises:
            UserError: `sqlite.corrupt`, `sqlite.unreadable`, `sqlite.time_limit`, `csv.too_many_columns`.
        """
        table = self._plain(found) if found.kind == "table" else None
        return self._copied(found, max_rows) if table is None else table

    def forget(self, table: SqliteTable) -> None:
        """Remove the copy that was made for a table, if one was."""
        if table.path != self.file.path:
            table.path.unlink(missing_ok=True)

    def _schema_entries(self) -> list[tuple[str, str, str]]:
        entries = []
        with self.file.connection(self.file.path, "") as connection:
            # Never by table_list: that would have SQLite resolve every view.
            query = "SELECT type, name, substr(sql, 1, 1000) FROM sqlite_schema WHERE type IN ('table', 'view')"
            for row in connection.execute(query):
                kind, name, sql = (bytes(value or b"") for value in row)
                entries.append((kind.decode(), name.decode(errors="surrogateescape"), sql.decode(errors="replace")))
        return entries

    def _plain(self, found: Found) -> SqliteTable | None:
        """The table itself; None when it computes columns."""
        reference = self._reference(found.name)
        with self.file.connection(self.file.path, found.name) as connection:
            rows = connection.execute(f"PRAGMA table_xinfo({reference})").fetchall()
            if not rows or any(row[6] for row in rows):
                return None
            self.file.require_columns_allowed(len(rows), found.name)
            names = [bytes(row[1]).decode() for row in rows]
            declared = [bytes(row[2] or b"").decode(errors="replace") for row in rows]
            rowid = _rowid(connection, reference, names)
        columns = tuple(SqliteColumn(name, type_, quoted(name)) for name, type_ in zip(names, declared, strict=True))
        defaults_bytes = sum(len(row[4]) for row in rows if row[4])
        return SqliteTable(self.file.path, found.name, reference, columns, rowid, defaults_bytes)

    def _copied(self, found: Found, max_rows: int | None) -> SqliteTable:
        self._reference(found.name)
        self._copies += 1
        target = self._scratch / f"copied-{self._copies}.db"
        answer = self._child_answer(found.name, target, max_rows)
        if "error" in answer:
            raise self.file.refusal(ValueError(answer["error"]), found.name)
        self.file.require_columns_allowed(len(answer["columns"]), found.name)
        if answer["rows"] != answer["counted"]:
            message = (
                f"{found.name!r} gives {answer['counted']} rows when they are counted and {answer['rows']} when they are read"
            )
            raise UserError("sqlite.unreadable", message, place=Place(file=self.file.source, table=found.name))
        columns = tuple(
            SqliteColumn(n, type_ or "", f"c{number}", copied=True) for number, (n, type_) in enumerate(answer["columns"])
        )
        return SqliteTable(target, found.name, "copied", columns, "rowid")

    def _child_answer(self, view: str, target: Path, max_rows: int | None) -> dict[str, Any]:
        limits, seconds = self.file.limits, self.file.limits.max_view_seconds
        size_bytes = self.file.path.stat().st_size
        wish = {
            "source": read_only_uri(self.file.path),
            "target": f"file:{quote(str(target))}",
            "table": view,
            "seconds": seconds,
            "max_rows": max_rows,
            "max_columns": limits.max_columns,
            "max_cell_bytes": limits.max_cell_bytes,
            "max_bytes": min(limits.max_unpacked_bytes, max(_COPY_BYTES_AT_LEAST, _COPY_TIMES_FILE * size_bytes)),
            "memory_bytes": _CHILD_MEMORY_BYTES,
        }
        command = [sys.executable, "-I", "-S", str(_CHILD)]
        try:
            done = subprocess.run(  # noqa: S603 - our own program by our own interpreter; what is foreign goes to its input
                command,
                input=json.dumps(wish).encode(),
                capture_output=True,
                timeout=seconds,
                check=False,
                cwd=self._scratch,
                env={},
            )
        except subprocess.TimeoutExpired:
            self.file.refuse_slowness(view, seconds)
        if done.returncode != 0:
            return {"error": f"its reader ended with {done.returncode}, perhaps for want of memory"}
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _reference(self, name: str) -> str:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise self.file.refusal(ValueError("its name is no UTF-8"), ascii(name)) from None
        if "\x00" in name:
            raise self.file.refusal(ValueError("its name holds a NUL"), ascii(name))
        return quoted(name)


def _rowid(connection: sqlite3.Connection, reference: str, names: list[str]) -> str | None:
    taken = {name.lower() for name in names}
    free = next((name for name in _ROWID_NAMES if name not in taken), None)
    if free is None:
        return None
    try:
        connection.execute(f"SELECT {free} FROM {reference} LIMIT 0")  # noqa: S608 - names are quoted
    except sqlite3.OperationalError:
        return None  # WITHOUT ROWID
    return free


def _is_virtual(sql: str) -> bool:
    return sql[:64].upper().split()[:2] == ["CREATE", "VIRTUAL"]


def _module(sql: str) -> str:
    match = _USING.search(sql)
    return match[1].lower() if match else ""

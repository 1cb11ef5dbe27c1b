"""The program of a child process that copies what a view of an SQLite file gives into a table of a file of its own.

Views, virtual tables and generated columns run what somebody else wrote, so they are evaluated here, where time, memory
and disk end before the worker's do. It is started by its path and imports nothing of ours: it must be quick to start.
It reads one JSON document and prints one.
"""

import json
import resource
import sqlite3
import sys
from typing import Any

_PAGE_BYTES = 4096
_SPARE_CPU_SECONDS = 5


def main() -> None:
    """Copy as asked, and print the columns and counts, or what went wrong."""
    wish: dict[str, Any] = json.load(sys.stdin)
    _bound(wish["memory_bytes"], int(wish["seconds"]) + _SPARE_CPU_SECONDS)
    try:
        answer = _copied(wish)
    except (sqlite3.Error, MemoryError, ValueError, OverflowError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"[:300]}
    json.dump(answer, sys.stdout)


def _bound(memory_bytes: int, cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _copied(wish: dict[str, Any]) -> dict[str, Any]:
    target = sqlite3.connect(wish["target"], uri=True, isolation_level=None)
    target.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, wish["max_cell_bytes"])
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "journal_mode=OFF", "synchronous=OFF", "temp_store=FILE"):
        target.execute(f"PRAGMA {pragma}")
    target.execute(f"PRAGMA main.max_page_count={max(1, wish['max_bytes'] // _PAGE_BYTES)}")
    target.execute("ATTACH ? AS given", (wish["source"],))
    view = _quoted(wish["table"])
    columns = [(row[1], row[2]) for row in target.execute(f"PRAGMA given.table_xinfo({view})") if row[6] != 1]
    if len(columns) > wish["max_columns"]:
        return {"columns": columns, "rows": 0, "counted": 0}
    names = ", ".join(f"c{number}" for number in range(len(columns)))
    chosen = ", ".join(_quoted(name) for name, _declared in columns)
    target.execute("BEGIN")
    target.execute(f"CREATE TABLE copied ({names})")
    bound = "" if wish["max_rows"] is None else f" LIMIT {int(wish['max_rows'])}"
    rows = target.execute(f"INSERT INTO copied SELECT {chosen} FROM given.{view}{bound}").rowcount  # noqa: S608 - names are quoted
    counted = rows if bound else target.execute(f"SELECT count(*) FROM given.{view}").fetchone()[0]  # noqa: S608 - names are quoted
    target.execute("COMMIT")
    return {"columns": columns, "rows": rows, "counted": counted}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    main()

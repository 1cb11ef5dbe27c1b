"""Measures an SQLite table before it is read: how many rows it has, how long the longest is, what its values are.

The count is SQLite's own, from the pages, and takes no part in reading.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.sqlite_columns import (
    RARE_SHARE,
    Facts,
    SqlitePlan,
    Storage,
    asked_for,
    decided,
    facts_of,
    facts_query,
)
from metricfoundry_dagster.pipeline.staging.sqlite_file import SqliteFile, SqliteTable, Text
from metricfoundry_dagster.pipeline.staging.text_kinds import Kind
from metricfoundry_dagster.pipeline.staging.text_kinds import kind_of as kind_of_texts

_SAMPLE_ROWS, _SAMPLE_VALUES, _SAMPLE_BYTES = 500, 100_000, 8 * 1024**2
#: What a row needs at least in a page: lengths, header and pointer.
_ROW_BYTES_AT_LEAST = 4
_LONGEST_ROW_BYTES = 256 * 1024**2
_INSPECTED_ROWS = 100
_COLUMNS_A_QUERY = 100
_SHORT_DEFAULTS_BYTES = 64 * 1024
TEMPORAL = frozenset({Kind.DATE, Kind.TIME, Kind.ZONED})


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a table without having read it all. `sure` says that the plans need not be proved by all values."""

    rows: int
    longest_row_bytes: int
    plans: list[SqlitePlan]
    sure: bool


def look_at(file: SqliteFile, table: SqliteTable, limits: Limits, kinds: Mapping[str, Kind]) -> Look:
    """Count the rows, and plan by the first and the last of them.

    Raises:
        UserError: `sqlite.corrupt`, `sqlite.unreadable` or `sqlite.time_limit`.
    """
    with file.connection(table.path, table.name) as connection:
        rows = int(connection.execute(f"SELECT count(*) FROM {table.reference} NOT INDEXED").fetchone()[0])  # noqa: S608 - names are quoted
        longest_bytes = _longest_row_bytes(connection, table) + table.defaults_bytes
        _require_possible(file, table, rows, longest_bytes, limits)
        sample = _sample(connection, table, _SAMPLE_BYTES // max(longest_bytes, 1) or 1)
    plans = _plans_by_sample(table, sample, kinds)
    sure = all(plan.pure and plan.storage is not Storage.MIXED and not plan.fixed for plan in plans)
    return Look(rows, longest_bytes, plans, sure and longest_bytes <= limits.max_cell_bytes)


def plans_by_ends(file: SqliteFile, table: SqliteTable, limits: Limits, kinds: Mapping[str, Kind]) -> list[SqlitePlan]:
    """The plans by a few of the first and the last rows, without a look at the others. Raises as `look_at`."""
    with file.connection(table.path, table.name) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(_LONGEST_ROW_BYTES, 4 * limits.max_cell_bytes))
        sample = _sample(connection, table, _INSPECTED_ROWS)
    return _plans_by_sample(table, sample, kinds)


def _plans_by_sample(table: SqliteTable, sample: list[tuple[object, ...]], kinds: Mapping[str, Kind]) -> list[SqlitePlan]:
    names = safe_names([column.name for column in table.columns])
    values = list(zip(*sample, strict=True)) or [()] * len(names)
    plans = []
    for name, column, column_values in zip(names, table.columns, values, strict=True):
        facts = Facts.seen(column_values)
        plan, _misfits = decided(name, column, facts, len(sample))
        if plan.storage is Storage.TEXT:
            plan.kind = _kind_of_sample(column_values)
        plans.append(asked_for(name, column, facts, kinds[name]) if name in kinds else plan)
    return plans


def plans_by_all_values(file: SqliteFile, table: SqliteTable, rows: int, kinds: Mapping[str, Kind]) -> list[SqlitePlan]:
    """The plans by the storage classes of all values. Raises as `look_at`."""
    facts: list[Facts] = []
    with file.connection(table.path, table.name) as connection:
        for start in range(0, len(table.columns), _COLUMNS_A_QUERY):
            selected = facts_query(table.columns[start : start + _COLUMNS_A_QUERY])
            row = connection.execute(f"SELECT {selected} FROM {table.reference} NOT INDEXED").fetchone()  # noqa: S608 - names are quoted
            facts += facts_of(row)
    names = safe_names([column.name for column in table.columns])
    plans: dict[int, SqlitePlan] = {}
    spare_rows = RARE_SHARE * rows
    # Those with the fewest misfits first, so that as many columns as possible keep their types.
    for number in sorted(
        range(len(names)), key=lambda number: decided(names[number], table.columns[number], facts[number], rows)[1]
    ):
        plan, misfits = decided(names[number], table.columns[number], facts[number], spare_rows)
        if names[number] in kinds:
            plan, misfits = asked_for(names[number], table.columns[number], facts[number], kinds[names[number]]), 0
        spare_rows -= misfits
        plans[number] = plan
    return [plans[number] for number in range(len(names))]


def _longest_row_bytes(connection: sqlite3.Connection, table: SqliteTable) -> int:
    """At least the bytes of the longest row, from the pages if SQLite was built to tell."""
    name = "copied" if table.reference == "copied" else table.name
    try:
        query = "SELECT max(mx_payload), sum(pgsize) FROM dbstat WHERE name = ?"
        longest_bytes, pages_bytes = connection.execute(query, (name,)).fetchone()
    except sqlite3.OperationalError as error:
        if "dbstat" not in str(error):
            raise
        return _longest_values_bytes(connection, table)
    if (pages_bytes or 0) > table.path.stat().st_size:
        raise sqlite3.DatabaseError("malformed: rows share pages")
    return int(longest_bytes or 0)


def _longest_values_bytes(connection: sqlite3.Connection, table: SqliteTable) -> int:
    longest = (f"max(length(CAST({column.expression} AS BLOB)))" for column in table.columns)
    query = f"SELECT {', '.join(longest)} FROM {table.reference} NOT INDEXED"  # noqa: S608 - names are quoted
    row: Sequence[int | None] = connection.execute(query).fetchone()
    return sum(value or 0 for value in row)


def _require_possible(file: SqliteFile, table: SqliteTable, rows: int, longest_bytes: int, limits: Limits) -> None:
    """Refuse what only a forged file has: pages or defaults that are shared by many rows make small files endless."""
    if rows * _ROW_BYTES_AT_LEAST > table.path.stat().st_size:
        raise file.refusal(ValueError(f"malformed: {rows} rows do not fit into the file"), table.name)
    if longest_bytes > max(_LONGEST_ROW_BYTES, 4 * limits.max_cell_bytes):
        raise file.refusal(ValueError(f"a row has {longest_bytes} bytes"), table.name)
    if table.defaults_bytes > _SHORT_DEFAULTS_BYTES:
        file.require_size_allowed(rows * table.defaults_bytes, table.name)


def _sample(connection: sqlite3.Connection, table: SqliteTable, most_rows: int) -> list[tuple[object, ...]]:
    """Rows from both ends, if they can be had cheaply: what is unlike the first is often among the last."""
    rows = min(_SAMPLE_ROWS, most_rows, _SAMPLE_VALUES // len(table.columns)) or 1
    query = f"SELECT {', '.join(column.expression for column in table.columns)} FROM {table.reference} NOT INDEXED"  # noqa: S608 - names are quoted
    sample: list[tuple[object, ...]] = connection.execute(f"{query} LIMIT {rows}").fetchall()
    if table.rowid is not None and len(sample) == rows:
        sample += connection.execute(f"{query} ORDER BY {table.rowid} DESC LIMIT {rows}").fetchall()
    return sample


def _kind_of_sample(values: Iterable[object]) -> Kind:
    try:
        texts = [value.decode() for value in values if isinstance(value, Text)]
    except UnicodeDecodeError:
        return Kind.TEXT
    return staged_kind(kind_of_texts(pa.array(texts, pa.string())))


def staged_kind(kind: Kind) -> Kind:
    """What texts of an SQLite file become: it has numbers of its own, so that texts become times and nothing else."""
    return kind if kind in TEMPORAL or kind is Kind.NULL else Kind.TEXT

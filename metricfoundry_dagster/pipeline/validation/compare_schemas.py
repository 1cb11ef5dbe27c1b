"""Schema drift: how the staged tables differ from those of the datasource's last dataset. Warnings only."""

from collections.abc import Iterator, Sequence

from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.products import TableProduct


def find_drift(before: Sequence[TableProduct], now: Sequence[TableProduct]) -> tuple[Finding, ...]:
    """One warning for each column that is new, gone, or of another type.

    Tables are compared by name; the only table of a dataset with the only table of another whatever their names.
    """
    by_name = {table.name: table for table in before}
    pairs = [(by_name[table.name], table) for table in now if table.name in by_name]
    if len(before) == len(now) == 1:
        pairs = [(before[0], now[0])]
    return tuple(finding for earlier, table in pairs for finding in _drift(earlier, table))


def _drift(before: TableProduct, now: TableProduct) -> Iterator[Finding]:
    types_before = {column.name: column.type for column in before.columns}
    types_now = {column.name: column.type for column in now.columns}
    for name, type_ in types_now.items():
        if name not in types_before:
            yield _finding("added_column", f"the column {name} ({type_}) is new", now.name, name)
        elif types_before[name] != type_:
            yield _finding("type_changed", f"the column {name} was {types_before[name]} and is {type_}", now.name, name)
    for name, type_ in types_before.items():
        if name not in types_now:
            yield _finding("missing_column", f"the column {name} ({type_}) is gone", now.name, name)


def _finding(event: str, message: str, table: str, column: str) -> Finding:
    return Finding(f"drift.{event}", Severity.WARN, f"{message} since the last dataset", table, column)

"""Drift is told by column, and never more than a warning."""

from metricfoundry_dagster.domain.findings import Severity
from metricfoundry_dagster.domain.products import Column, TableProduct
from metricfoundry_dagster.pipeline.validation.compare_schemas import find_drift


def table(name: str, **types: str) -> TableProduct:
    return TableProduct(name, tuple(Column(column, column, type_, nullable=True) for column, type_ in types.items()), 1, 1, 0)


def test_added_missing_and_changed_columns_are_warnings() -> None:
    found = find_drift([table("t", a="int64", b="int64")], [table("t", b="string", c="double")])
    assert [(f.code, f.column, f.severity) for f in found] == [
        ("drift.type_changed", "b", Severity.WARN),
        ("drift.added_column", "c", Severity.WARN),
        ("drift.missing_column", "a", Severity.WARN),
    ]
    assert found[0].message == "the column b was int64 and is string since the last dataset"


def test_the_order_of_columns_is_no_drift() -> None:
    assert find_drift([table("t", a="int64", b="int64")], [table("t", b="int64", a="int64")]) == ()


def test_the_only_tables_are_compared_whatever_their_names() -> None:
    assert [f.table for f in find_drift([table("may", a="int64")], [table("june", b="int64")])] == ["june", "june"]


def test_tables_without_a_counterpart_do_not_drift() -> None:
    before = [table("t", a="int64"), table("u", a="int64")]
    assert find_drift(before, [table("u", a="int64"), table("v", b="int64")]) == ()
    assert find_drift([], [table("t", a="int64")]) == ()

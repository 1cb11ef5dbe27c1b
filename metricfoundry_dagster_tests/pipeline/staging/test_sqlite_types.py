"""What the values of an SQLite column become: by themselves, whatever is declared, and nothing changes or goes unsaid."""

import base64
import math
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import refusal
from metricfoundry_dagster_tests.pipeline.staging.stage_sqlite_files import column_of, sqlite_bytes, stage_tables, staged_column

MANY = 5_000


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("declared", "values", "type_", "expected"),
    [
        ("INTEGER", [1, None, -(2**63), 2**63 - 1], "int64", None),
        ("", [1, 2], "int64", None),
        ("TEXT", [None, "007", "1.5"], "string", None),
        ("", ["12", "x\x00y"], "string", None),
        ("REAL", [1, 2.5, None, math.inf, -math.inf], "double", [1.0, 2.5, None, math.inf, -math.inf]),
        ("NUMERIC", [1, 2.5], "double", [1.0, 2.5]),
        ("REAL", [1e300, 2**60], "double", [1e300, float(2**60)]),
        ("NUMERIC", [2**53 + 1, 0.5], "string", ["9007199254740993", "0.5"]),
        ("NUMERIC", [1e300, 0.1], "double", None),
        ("BOOLEAN", [0, 1, None], "bool", [False, True, None]),
        ("BOOLEAN", [0, 5], "int64", None),
        ("BOOL", [None, None], "string", None),
        ("INTEGER", [None], "int64", None),
        ("REAL", [], "double", None),
        ("", [None], "string", None),
        ("BLOB", [b"\x00\xff", b"", None], "string", ["AP8=", "", None]),
        ("DATE", ["2024-02-29", None], "date32[day]", [date(2024, 2, 29), None]),
        ("TEXT", ["2024-02-29", "2024-03-01 10:00"], "timestamp[us]", [moment("2024-02-29"), moment("2024-03-01T10:00")]),
        ("DATETIME", ["2024-01-01T10:00:00+02:00"], "timestamp[us, tz=UTC]", [moment("2024-01-01T08:00+00:00")]),
        ("DATE", ["2024-02-30", "2024-02-29"], "string", None),
        ("DATE", ["2024-02-29", "soon"], "string", None),
        ("DATETIME", [1_700_000_000, None], "int64", None),
        ("INTEGER", [1, "", "NA", None], "int64", [1, None, None, None]),
        ("INTEGER", [1, "x"], "string", ["1", "x"]),
        ("", ["a", 5, 0.1, -1e300], "string", ["a", "5", "0.1", "-1e+300"]),
        ("", ["a", 1, b"\x01\x02"], "string", ["a", "1", "AQI="]),
        ("TEXT", ["a", b"a"], "string", ["a", "YQ=="]),
    ],
)
def test_a_column_has_the_type_that_all_its_values_have(
    declared: str, values: list[Any], type_: str, expected: list[Any] | None
) -> None:
    staged = staged_column(values, declared)
    assert (staged.types, staged.rejects) == ({"c": type_}, [])
    assert staged.column("c") == (values if expected is None else expected)


@pytest.mark.parametrize(
    ("declared", "values", "late", "type_"),
    [
        ("INTEGER", [1], 2.5, "double"),
        ("BOOLEAN", [1], 7, "int64"),
        ("DATE", ["2024-01-01"], "2024-01-01 10:00", "timestamp[us]"),
        ("DATE", ["2024-01-01"], "later", "string"),
        ("", [None], "text", "string"),
        ("", [None], 7, "int64"),
        ("", [None], b"x", "string"),
        ("INTEGER", [None], "2024-01-01", "date32[day]"),
        ("", [0.5], 2**53 + 1, "string"),
        ("", ["text"], 7, "string"),
    ],
)
def test_a_late_value_widens_the_type_and_rejects_nothing(declared: str, values: list[Any], late: Any, type_: str) -> None:
    """Neither the first rows nor the last tell: a look at both ends is no proof."""
    staged = staged_column([*values * MANY, late, *values * MANY], declared, block_bytes=20_000)
    assert (staged.types, staged.rejects, staged.product.rows_out) == ({"c": type_}, [], 2 * MANY + 1)
    assert staged.column("c")[MANY] is not None


def test_a_rare_text_among_integers_is_rejected_with_its_rowid() -> None:
    staged = staged_column([*range(MANY), "n.n.", *range(MANY)], "INTEGER")
    assert staged.types == {"c": "int64"}
    assert staged.column("c") == [*range(MANY), *range(MANY)]
    (reject,) = staged.rejects
    assert (reject["code"], reject["column"], reject["raw"], reject["line"]) == ("sqlite.type_mismatch", "c", "n.n.", None)
    assert reject["reason"].startswith(f"rowid {MANY + 1}: a value of class TEXT")


def test_rare_blobs_among_texts_are_rejected() -> None:
    staged = staged_column([*["a"] * MANY, b"\xff", *["b"] * MANY], "TEXT")
    assert (staged.types, [reject["code"] for reject in staged.rejects]) == ({"c": "string"}, ["sqlite.type_mismatch"])


def test_misfits_of_several_columns_together_are_rare() -> None:
    """Of eight columns with as many misfits as one may have, one keeps its type: a load never fails for them all."""
    columns = 8

    def fill(made: Any) -> None:
        rows = [["x" if row % 120 == column else row for column in range(columns)] for row in range(MANY)]
        made.executemany(f"INSERT INTO t VALUES ({', '.join('?' * columns)})", rows)

    names = ", ".join(f"c{number}" for number in range(columns))
    staged = stage_tables(sqlite_bytes(f"CREATE TABLE t ({names})", fill=fill))["t"]
    assert sorted(staged.types.values()) == ["int64"] + ["string"] * (columns - 1)
    assert staged.product.rows_rejected == MANY // 120 + 1


def test_bytes_that_are_no_text_are_rejected_and_kept() -> None:
    content = sqlite_bytes(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, c TEXT)",
        "INSERT INTO t VALUES (1, 'ok'), (7, CAST(x'61ff62' AS TEXT)), (9, 'fine')",
    )
    staged = stage_tables(content)["t"]
    assert staged.table.to_pylist() == [{"a": 1, "c": "ok"}, {"a": 9, "c": "fine"}]
    (reject,) = staged.rejects
    assert (reject["code"], reject["raw"]) == ("text.invalid_encoding", "a\ufffdb")
    assert reject["reason"].startswith("rowid 7")


def test_types_that_a_person_asks_for_decide() -> None:
    values = ["1", 2, 3.5, "x", None, b"\x00"]
    assert staged_column([1, 2], types={"c": "string"}).column("c") == ["1", "2"]
    staged = staged_column(values, types={"c": "int64"})
    assert (staged.types, staged.column("c")) == ({"c": "int64"}, [1, 2, None])
    assert [(reject["code"], reject["raw"]) for reject in staged.rejects] == [
        ("text.wrong_type", raw) for raw in ("3.5", "x", "AA==")
    ]
    assert staged_column([0, 1, "true"], types={"c": "bool"}).column("c") == [False, True, True]
    assert refusal(column_of([1]), "t.db", types={"d": "string"}).code == "request.invalid"
    assert refusal(column_of([1]), "t.db", types={"c": "money"}).code == "request.invalid"


def test_utf16_text_is_read() -> None:
    content = sqlite_bytes("PRAGMA encoding = 'UTF-16'", "CREATE TABLE t (c TEXT)", "INSERT INTO t VALUES ('Łukasz'), (x'41')")
    assert stage_tables(content)["t"].column("c") == ["Łukasz", "QQ=="]


VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-1, 2)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=5)
)
DECLARED = st.sampled_from(["", "INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", "BOOLEAN", "DATE"])


@given(DECLARED, st.lists(VALUES, max_size=30))
def test_no_value_of_any_class_changes_or_goes_missing(declared: str, values: list[Any]) -> None:
    content = column_of(values, declared)
    stored = stored_values(content)
    staged = stage_tables(content)["t"]
    assert staged.product.rows_rejected == 0  # one in thirty is not rare
    assert len(staged.column("c")) == len(stored)
    for before, after in zip(stored, staged.column("c"), strict=True):
        assert same(before, after)


def stored_values(content: bytes) -> list[Any]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(content)
        return [row[0] for row in connection.execute("SELECT c FROM t ORDER BY rowid")]


def same(before: Any, after: Any) -> bool:
    """Whether nothing was lost: a number's text must read as that number."""
    if before is None or (isinstance(before, str) and after is None):
        return after is None and (before is None or before.strip(" \t") in SPELLED_NULLS)
    if isinstance(before, bytes):
        return isinstance(after, str) and base64.b64decode(after) == before
    if isinstance(before, int | float) and isinstance(after, str):
        return type(before)(after) == before
    return bool(before == after)


SPELLED_NULLS = ("", "NA", "N/A", "null", "NULL", "None", "NaN", "nan", "\\N")

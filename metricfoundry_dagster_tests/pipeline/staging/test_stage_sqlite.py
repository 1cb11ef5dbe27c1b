"""SQLite files: every table in its own right, what the file computes at arm's length, and damage told as such."""

import gzip
import random
import sqlite3
import struct
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import refusal
from metricfoundry_dagster_tests.pipeline.staging.stage_sqlite_files import column_of, sqlite_bytes, stage_tables

PAGE_BYTES = 4096


def test_every_table_is_staged_and_internal_ones_are_not() -> None:
    content = sqlite_bytes(
        "CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)",
        'CREATE TABLE "odd ""name"", with $ and ż" ("a b" INTEGER, "rowid" TEXT, "select" REAL)',
        "CREATE TABLE pairs (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE INDEX people_by_name ON people (name)",
        "CREATE VIEW names AS SELECT name FROM people",
        "INSERT INTO people (name) VALUES ('Ada'), ('Kim')",
        """INSERT INTO "odd ""name"", with $ and ż" VALUES (1, 'x', 0.5)""",
        "INSERT INTO pairs VALUES ('b', 1), ('a', 2)",
        "ANALYZE",
    )
    tables = stage_tables(content)
    assert len(tables) == 3
    assert tables["people"].table.to_pylist() == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Kim"}]
    assert tables["pairs"].table.to_pylist() == [{"a": "a", "b": 2}, {"a": "b", "b": 1}]
    (odd,) = (staged for name, staged in tables.items() if name not in ("people", "pairs"))
    assert odd.table.to_pylist() == [{"a_b": 1, "rowid": "x", "select": 0.5}]
    assert [column.source_name for column in odd.product.columns] == ["a b", "rowid", "select"]


def test_the_only_table_is_called_what_the_file_is_called() -> None:
    assert list(stage_tables(column_of([1]), "sales 2024.db")) == ["sales_2024"]


def test_tables_that_differ_in_case_or_signs_keep_names_of_their_own() -> None:
    tables = stage_tables(sqlite_bytes(*(f'CREATE TABLE "{name}" (a)' for name in ("a b", "a-b", "rejects"))))
    assert len(tables) == 3
    assert "rejects" not in tables


def test_views_are_tables_when_they_are_asked_for() -> None:
    content = sqlite_bytes(
        "CREATE TABLE t (a INTEGER, d TEXT)",
        "INSERT INTO t VALUES (1, '2024-01-01'), (2, '2024-01-02')",
        "CREATE VIEW v AS SELECT a * 2 AS twice, d FROM t WHERE a > 1",
        "CREATE VIEW broken AS SELECT a FROM nowhere",
    )
    assert list(stage_tables(content)) == ["t"]
    tables = stage_tables(content, views=True)
    assert tables["v"].types == {"twice": "int64", "d": "date32[day]"}
    assert tables["v"].product.rows_out == 1
    assert tables["broken"].product.error is not None
    assert tables["broken"].product.error.code == "sqlite.unreadable"


def test_generated_columns_and_virtual_tables_are_staged_without_their_machinery() -> None:
    content = sqlite_bytes(
        "CREATE TABLE made (a INTEGER, b AS (a + 1), c AS (a || 'x') STORED)",
        "INSERT INTO made VALUES (1), (2)",
        "CREATE VIRTUAL TABLE texts USING fts5(title, body)",
        "INSERT INTO texts VALUES ('one', 'first'), ('two', NULL)",
    )
    tables = stage_tables(content)
    assert set(tables) == {"made", "texts"}
    assert tables["made"].table.to_pylist() == [{"a": 1, "b": 2, "c": "1x"}, {"a": 2, "b": 3, "c": "2x"}]
    assert tables["texts"].table.to_pylist() == [{"title": "one", "body": "first"}, {"title": "two", "body": None}]


@pytest.mark.parametrize(
    "view",
    [
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) AS c FROM n",
        "SELECT zeroblob(900000000) AS c",
        "SELECT load_extension('x') AS c",
    ],
)
def test_a_hostile_view_ends_in_an_error_of_its_own(view: str) -> None:
    content = sqlite_bytes("CREATE TABLE t (a)", f"CREATE VIEW v AS {view}")
    tables = stage_tables(content, views=True, limits=Limits(max_view_seconds=1.0))
    assert tables["t"].product.error is None
    assert tables["v"].product.error is not None
    assert tables["v"].product.error.code in ("sqlite.time_limit", "sqlite.unreadable")


def test_views_that_unfold_without_end_do_not_take_the_worker_along() -> None:
    nested = [f"CREATE VIEW v{n} AS {' UNION ALL '.join([f'SELECT a FROM v{n - 1}'] * 8)}" for n in range(1, 9)]
    content = sqlite_bytes("CREATE TABLE t (a)", "CREATE VIEW v0 AS SELECT a FROM t", *nested)
    started = time.monotonic()
    tables = stage_tables(content, views=True, limits=Limits(max_view_seconds=0.2))
    assert tables["t"].product.error is None
    assert tables["v8"].product.error is not None
    assert time.monotonic() - started < 60


def test_a_default_that_makes_little_into_much_stays_bounded() -> None:
    """Rows that are older than a column have its default, however long, without a byte in the file."""
    content = sqlite_bytes(
        "CREATE TABLE t (a)",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) INSERT INTO t SELECT x FROM n",
        f"ALTER TABLE t ADD COLUMN b DEFAULT '{'x' * 100_000}'",
    )
    error = refusal(content, "t.db", limits=Limits(max_unpacked_bytes=50_000_000))
    assert error.code == "file.too_large"


def test_too_long_a_value_is_rejected() -> None:
    content = sqlite_bytes("CREATE TABLE t (a, b TEXT)", f"INSERT INTO t VALUES (1, 'x'), (2, '{'y' * 5000}'), (3, NULL)")
    staged = stage_tables(content, limits=Limits(max_cell_bytes=1000, max_raw_chars=10))["t"]
    assert staged.column("a") == [1, 3]
    assert [(reject["code"], reject["raw"]) for reject in staged.rejects] == [("sqlite.cell_too_long", "yyyyyyyyy…")]


def test_many_tables_and_the_limit() -> None:
    content = sqlite_bytes(*(f"CREATE TABLE t{number} (a INTEGER, b TEXT)" for number in range(500)))
    tables = stage_tables(content)
    assert len(tables) == 500
    assert {tuple(staged.types.items()) for staged in tables.values()} == {(("a", "int64"), ("b", "string"))}
    assert refusal(content, "t.db", limits=Limits(max_tables=499)).code == "sqlite.too_many_tables"


def test_a_table_with_many_columns_is_read() -> None:
    names = [f"c{number}" for number in range(1_900)]
    values = ", ".join("1" if number % 2 else "'x'" for number in range(1_900))
    content = sqlite_bytes(f"CREATE TABLE t ({', '.join(names)})", f"INSERT INTO t VALUES ({values})")
    assert len(stage_tables(content)["t"].types) == 1_900
    assert refusal(content, "t.db", limits=Limits(max_columns=100)).code == "csv.too_many_columns"


def test_a_zipped_file_is_read_and_an_empty_one_refused() -> None:
    assert stage_tables(gzip.compress(column_of([1])), "t.db.gz")["t"].column("c") == [1]
    assert refusal(sqlite_bytes("CREATE TABLE t (a)", "DROP TABLE t"), "t.db").code == "file.empty"
    assert refusal(b"SQLite format 3\x00" + b"\x00" * 50, "t.db").code == "sqlite.corrupt"


def test_a_file_in_wal_mode_is_read_as_it_is() -> None:
    content = sqlite_bytes("PRAGMA journal_mode = WAL", "CREATE TABLE t (c)", "INSERT INTO t VALUES (1)")
    assert content[18:20] == b"\x02\x02"
    assert stage_tables(content)["t"].column("c") == [1]


def test_an_unknown_collation_fails_only_where_it_matters() -> None:
    content = sqlite_bytes(
        "CREATE TABLE t (a TEXT)", "CREATE TABLE u (a TEXT COLLATE NOCASE)", "INSERT INTO u VALUES ('x')"
    ).replace(b"COLLATE NOCASE", b"COLLATE NOBASE")
    assert stage_tables(content)["u"].column("a") == ["x"]


def two_tables() -> bytes:
    return sqlite_bytes(
        "CREATE TABLE good (a INTEGER, b TEXT)",
        "CREATE TABLE bad (a INTEGER, b TEXT)",
        *(
            f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000) "
            f"INSERT INTO {table} SELECT x, 'text number ' || x FROM n"
            for table in ("good", "bad")
        ),
    )


def test_a_corrupt_page_fails_its_table_alone() -> None:
    content = bytearray(two_tables())
    pages = len(content) // PAGE_BYTES
    content[(pages - 5) * PAGE_BYTES : (pages - 4) * PAGE_BYTES] = b"\xee" * PAGE_BYTES
    tables = stage_tables(bytes(content))
    assert tables["good"].product.rows_out == 2000
    assert tables["bad"].product.error is not None
    assert (tables["bad"].product.error.code, tables["bad"].product.error.place.table) == ("sqlite.corrupt", "bad")


def test_a_file_that_was_cut_off_is_told_as_damaged() -> None:
    content = two_tables()
    assert refusal(content[: PAGE_BYTES * 3], "t.db").code == "sqlite.corrupt"


def test_pages_that_many_parents_share_do_not_make_a_file_endless() -> None:
    """Each interior page names the next one hundreds of times: the rows are as many as there are ways down."""
    content = bytearray(two_tables())
    with sqlite3.connect(":memory:") as made:
        made.deserialize(bytes(content))
        root = made.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'bad'").fetchone()[0]
    leaf = struct.unpack(">I", content[(root - 1) * PAGE_BYTES + 8 :][:4])[0]
    depth, first_new = 12, len(content) // PAGE_BYTES + 1
    for level in range(depth):
        below = first_new + level + 1 if level + 1 < depth else leaf
        content += interior_page(below)
    content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = interior_page(first_new)
    struct.pack_into(">I", content, 28, len(content) // PAGE_BYTES)
    tables = stage_tables(bytes(content), limits=Limits(max_view_seconds=0.5))
    assert tables["good"].product.rows_out == 2000
    assert tables["bad"].product.error is not None
    assert tables["bad"].product.error.code == "sqlite.time_limit"


def interior_page(child: int) -> bytes:
    cells = 400
    page = bytearray(PAGE_BYTES)
    struct.pack_into(">BHHHBI", page, 0, 5, 0, cells, PAGE_BYTES - 5 * cells, 0, child)
    for number in range(cells):
        at = PAGE_BYTES - 5 * (number + 1)
        struct.pack_into(">H", page, 12 + 2 * number, at)
        struct.pack_into(">IB", page, at, child, 1)
    return bytes(page)


@given(st.integers(0, 2**32), st.integers(1, 30), st.booleans())
def test_mutated_bytes_give_tables_or_an_error_that_says_so(seed: int, changes: int, everywhere: bool) -> None:
    content = bytearray(MUTATED)
    rng = random.Random(seed)
    for _ in range(changes):
        place = rng.randrange(len(content) if everywhere else 600)
        content[place if place > 15 else 16] = rng.randrange(256)
    with suppress(UserError):
        assert stage_tables(bytes(content), "t.db")


def _mutable() -> bytes:
    def fill(made: Any) -> None:
        rows = [(n, f"text {n}" * (n % 5), n / 7, bytes([n % 256]) * 9, "x" * 3000 if n == 40 else None) for n in range(150)]
        made.executemany("INSERT INTO a VALUES (?, ?, ?, ?, ?)", rows)
        made.executemany("INSERT INTO b VALUES (?, ?)", [(f"k{n}", n) for n in range(100)])

    return sqlite_bytes(
        "PRAGMA page_size = 1024",
        "CREATE TABLE a (i INTEGER PRIMARY KEY, t TEXT, r REAL, b BLOB, n)",
        "CREATE TABLE b (k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID",
        fill=fill,
    )


MUTATED = _mutable()

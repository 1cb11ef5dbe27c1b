"""Looking at a file says what staging would do, without doing it."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.staging.inspect_file import InspectedTable, inspect_file
from metricfoundry_dagster_tests.pipeline.staging.stage_sqlite_files import sqlite_bytes


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def look(raw: Path, content: str | bytes, filename: str, **overrides: Any) -> InspectedTable:
    raw.write_bytes(content.encode() if isinstance(content, str) else content)
    (table,) = inspect_file(raw, filename, overrides, Limits()).tables
    return table


def test_a_short_csv_file_is_seen_whole(raw: Path) -> None:
    table = look(raw, "id,day,at\n1,2024-01-01,2024-01-01 10:00\n", "Daily Sales.csv")
    assert (table.name, table.whole_file, table.time_column) == ("daily_sales", True, "at")
    assert [(c.name, c.type) for c in table.columns] == [("id", "int64"), ("day", "date32[day]"), ("at", "timestamp[us]")]


def test_a_long_file_is_seen_in_its_beginning_only(raw: Path) -> None:
    content = "a,b\n" + "1,2024-01-01\n" * 100_000 + "x,y\n"
    table = look(raw, content, "t.csv")
    assert (table.whole_file, table.time_column, [c.type for c in table.columns]) == (False, "b", ["int64", "date32[day]"])


def test_wishes_show(raw: Path) -> None:
    table = look(raw, "1;2\n", "t.csv.gz", has_header=False, types={"column_1": "string"}, time_column="column_2")
    assert [(c.name, c.source_name, c.type) for c in table.columns] == [("column_1", None, "string"), ("column_2", None, "int64")]
    assert table.time_column == "column_2"


def test_json_lines_and_parquet_are_seen_too(raw: Path) -> None:
    table = look(raw, gzip.compress(b'{"a": 1, "b": [1]}\n'), "t.jsonl.gz")
    assert ([(c.name, c.type) for c in table.columns], table.name, table.time_column) == (
        [("a", "int64"), ("b", "string")],
        "t",
        None,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"__time": pa.array([1], pa.timestamp("ns"))}), sink)
    table = look(raw, sink.getvalue().to_pybytes(), "t.parquet")
    assert [(c.name, c.source_name, c.type) for c in table.columns] == [("__time_2", "__time", "timestamp[us]")]
    assert table.whole_file


def test_a_header_alone_has_columns_without_a_type_of_their_own(raw: Path) -> None:
    assert [c.type for c in look(raw, "a,b\n", "t.csv").columns] == ["string", "string"]


def test_what_cannot_be_staged_cannot_be_looked_at(raw: Path) -> None:
    with pytest.raises(UserError) as caught:
        look(raw, "[]\n", "t.json")
    assert caught.value.code == "json.no_table"


def test_all_tables_of_an_sqlite_file_show_by_the_names_that_they_will_have(raw: Path) -> None:
    raw.write_bytes(
        sqlite_bytes(
            'CREATE TABLE "Daily Sales" (id INTEGER, day DATE)',
            "INSERT INTO \"Daily Sales\" VALUES (1, '2024-01-01')",
            "CREATE TABLE rejects (a TEXT)",
            'CREATE VIEW v AS SELECT day FROM "Daily Sales"',
        )
    )
    inspection = inspect_file(raw, "t.db", {"views": True}, Limits())
    assert inspection.recipe.format == "sqlite"
    assert [(table.name, table.time_column) for table in inspection.tables] == [
        ("daily_sales", "day"),
        ("rejects_2", None),
        ("v", "day"),
    ]
    assert [column.type for column in inspection.tables[0].columns] == ["int64", "date32[day]"]
    assert [table.name for table in inspect_file(raw, "t.db", {}, Limits()).tables] == ["daily_sales", "rejects_2"]


def test_a_document_shows_its_tables_and_those_inside_them(raw: Path) -> None:
    raw.write_text('{"n": 1, "items": [{"a": {"b": 1}, "parts": [{"x": "2024-01-01"}]}, {"a": {"b": 2.5}}]}')
    inspection = inspect_file(raw, "t.json", {}, Limits())
    assert (inspection.recipe.format, inspection.recipe.records, inspection.recipe.nested) == ("json", "/items", "tables")
    assert [(table.name, table.whole_file, table.time_column) for table in inspection.tables] == [
        ("t", True, None),
        ("t_parts", True, "x"),
    ]
    assert [(c.name, c.type) for c in inspection.tables[0].columns] == [("_row", "int64"), ("a_b", "double")]


def test_a_long_document_is_seen_in_its_beginning_only(raw: Path) -> None:
    table = look(raw, "[" + '{"a": 1},' * 200_000 + '{"a": "x"}]', "t.json")
    assert (table.whole_file, [c.type for c in table.columns]) == (False, ["int64"])

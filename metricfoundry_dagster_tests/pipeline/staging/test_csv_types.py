"""The types of CSV columns are those of the whole file, and no value is changed by them."""

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.pipeline.staging.cut_records import RecordCutter
from metricfoundry_dagster.pipeline.staging.odd_numbers import count_odd_fields, count_odd_texts
from metricfoundry_dagster.pipeline.staging.split_fields import FieldRule
from metricfoundry_dagster.pipeline.staging.stage_file import stage_file
from metricfoundry_dagster.pipeline.staging.text_kinds import convert, kind_of, type_of
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import CSV, Staged, refusal, stage

ROWS = 400


def with_late_value(value: str, usual: str = "12") -> Staged:
    """One column, in which the value before the last stands apart, staged in many blocks."""
    return stage("a,b\n" + f"{usual},x\n" * ROWS + f"{value},x\n{usual},x\n", block_bytes=256, **CSV)


@pytest.mark.parametrize(
    ("late", "type_", "usual", "last"),
    [
        ("x", "string", "12", "x"),
        ("00123", "string", "12", "00123"),
        ("-07", "string", "12", "-07"),
        ("0x1F", "string", "12", "0x1F"),
        ("+5", "string", "12", "+5"),
        ("+5", "string", "1.5", "+5"),
        (" 007", "string", "12", " 007"),
        ('"007"', "string", "12", "007"),
        ("1e3", "double", "12", 1000.0),
        ("1.5", "double", "12", 1.5),
        (" 7", "int64", "12", 7),
        ("NA", "int64", "12", None),
        ("", "int64", "12", None),
        ('""', "int64", "12", None),
        ("  ", "int64", "12", None),
        ("\\N", "double", "1.5", None),
        ("nan", "double", "1.5", None),
        ("NAN", "string", "1.5", "NAN"),
        ("inf", "double", "1.5", float("inf")),
        ("1e400", "string", "1.5", "1e400"),
        ("9007199254740993", "int64", "12", 9007199254740993),
        ("9007199254740993", "string", "1.5", "9007199254740993"),
        ("1.5", "string", "9007199254740993", "1.5"),
        ("9223372036854775808", "string", "12", "9223372036854775808"),
        ("1e20", "double", "1.5", 1e20),
        ("1", "string", "true", "1"),
        ("FALSE", "bool", "true", False),
        ("NA", "bool", "true", None),
        ("2024-02-29", "date32[day]", "2023-01-01", date(2024, 2, 29)),
        ("2023-02-29", "string", "2023-01-01", "2023-02-29"),
        ("2024-02-29 10:00", "timestamp[us]", "2023-01-01", datetime.fromisoformat("2024-02-29T10:00")),
        ("2024-02-29", "timestamp[us]", "2023-01-01 00:00:00", datetime.fromisoformat("2024-02-29")),
        ("2024-01-01 00:00:00.1234567", "string", "2023-01-01 00:00:00", "2024-01-01 00:00:00.1234567"),
        ("2024-01-01 00:00:00Z", "string", "2023-01-01 00:00:00", "2024-01-01 00:00:00Z"),
        ("NA", "string", "", "NA"),
        ("7", "int64", "", 7),
        ("7", "int64", "NA", 7),
    ],
)
def test_a_late_value_decides_for_the_whole_column(late: str, type_: str, usual: str, last: Any) -> None:
    staged = with_late_value(late, usual)
    assert staged.types["a"] == type_
    assert staged.column("a")[ROWS] == last
    assert staged.product.rows_rejected == 0
    if type_ == "string":
        assert staged.column("a")[0] == (usual or None)


def test_a_null_spelling_is_text_among_texts_and_null_among_numbers() -> None:
    staged = stage("n,t,only\n1,NA,NA\nNA,x,null\nnull,,\n", **CSV)
    assert staged.types == {"n": "int64", "t": "string", "only": "string"}
    assert staged.column("n") == [1, None, None]
    assert staged.column("t") == ["NA", "x", None]
    assert staged.column("only") == ["NA", "null", None]


def test_times_with_zones_become_utc() -> None:
    staged = stage("t\n2024-01-01T10:00:00+02:00\n2024-01-01T10:00:00Z\n", **CSV)
    assert staged.types == {"t": "timestamp[us, tz=UTC]"}
    assert [value.isoformat() for value in staged.column("t")] == ["2024-01-01T08:00:00+00:00", "2024-01-01T10:00:00+00:00"]


def test_leading_zeros_in_columns_of_text_leave_numbers_alone() -> None:
    content = "zip,n,note\n" + "".join(f'0{number:04d},{number},"a, 05 ""07"" b"\n' for number in range(100)) + "x,0.5,\n"
    staged = stage(content, block_bytes=200, **CSV)
    assert staged.types == {"zip": "string", "n": "double", "note": "string"}
    assert staged.column("zip")[7] == "00007"


@pytest.mark.parametrize("misplaced", ['5" pipe', 'a"', '"b" c'])
def test_a_misplaced_quote_hides_no_odd_number(misplaced: str) -> None:
    """Behind a single quote that is text, what looks quoted is not."""
    content = "t,a\n" + "x,1\n" * 3000 + f"{misplaced},2\nx,3\ny,007\n" + "x,1\n" * 10
    staged = stage(content, block_bytes=8_000, **CSV)
    assert staged.types == {"t": "string", "a": "string"}
    assert "007" in staged.column("a")


def test_a_file_is_read_at_most_twice_however_many_values_do_not_fit(tmp_path: Path) -> None:
    usual = "1,1,1,1,1\n" * 3000
    late = (
        "9007199254740993,1,1,1,1\n"
        + usual
        + "1,x,1,1,1\n"
        + usual
        + "1.5,1,007,1,1\n"
        + usual
        + "1,1,1,2.5,\n"
        + usual
        + "1,1,1,NA,true\n"
    )
    path = tmp_path / "t.csv"
    path.write_text("a,b,c,d,e\n" + usual + late)
    shares: list[float] = []
    staged = stage_file(
        path,
        filename="t.csv",
        store=MemoryStore(),
        root=Root.ARTIFACTS,
        prefix="",
        overrides=CSV,
        limits=Limits(),
        progress=shares.append,
        block_bytes=16_000,
    )
    assert [column.type for column in staged.tables[0].columns] == ["string", "string", "string", "double", "string"]
    blocks = math.ceil(path.stat().st_size / 16_000)
    assert len(shares) == 2 * blocks + 1  # progress is told after each block, and at the end


def test_fields_behind_blanks_are_numbers() -> None:
    staged = stage("a, b\n1, 2\n3, 4.5\n", **CSV)
    assert staged.types == {"a": "int64", "b": "double"}
    assert staged.column("b") == [2.0, 4.5]


def test_types_that_were_asked_for_are_used_and_misfits_are_rejects() -> None:
    staged = stage("id,n,t\n007,x,1\n008,5,2\n009,NA,3\n010,1.5,4\n", types={"id": "int64", "n": "int64", "t": "string"}, **CSV)
    assert staged.types == {"id": "int64", "n": "int64", "t": "string"}
    assert staged.table.to_pylist() == [{"id": 8, "n": 5, "t": "2"}, {"id": 9, "n": None, "t": "3"}]
    assert staged.reject_codes() == [(2, "text.wrong_type"), (5, "text.wrong_type")]
    assert [reject["column"] for reject in staged.rejects] == ["n", "n"]
    assert staged.rejects[0]["reason"] == "'x' is no int64, which was asked for"


def test_impossible_types_are_refused() -> None:
    assert refusal("a\n1\n", types={"a": "int7"}, **CSV).code == "request.invalid"
    assert refusal("a\n1\n", types={"b": "int64"}, **CSV).code == "request.invalid"


def test_flights_are_numbers_times_and_texts(few_flights_csv: Path) -> None:
    staged = stage(few_flights_csv.read_bytes(), "flights.csv")
    numbers = {name for name, type_ in staged.types.items() if type_ == "int64"}
    assert {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "flight"} <= numbers
    assert staged.types["time_hour"].startswith("timestamp[us")
    assert staged.types["tailnum"] == "string"
    assert None in staged.column("dep_time")
    assert len(staged.table) == 2000


NUMBERS = ["1", "-5", "0", "-0", "1.5", "1e3", "inf", "5. ", " 7", "7 ", "9007199254740993", "9223372036854775808"]
ODD = ["007", "-07", " 007", "+5", "0x1F", "1_0", '"0""05"', '"05"', '", 05"', "x", '"x"']
OTHERS = ["true", "2024-02-29", "2024-02-30", "2024-01-01 10:00", "2024-01-01T10:00Z", "", '""', "NA", "nan", "NAN", "\\N"]
VALUES = st.sampled_from([*NUMBERS, *ODD, *OTHERS])


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=12), st.sampled_from([4, 9, 30, 1000]))
def test_types_and_values_are_those_of_our_own_rules_over_all_texts(rows: list[tuple[str, str]], block_bytes: int) -> None:
    content = "a,b\n" + "".join(f"{a},{b}\n" for a, b in rows)
    texts = stage(content, types={"a": "string", "b": "string"}, **CSV)
    staged = stage(content, block_bytes=block_bytes, **CSV)
    for name in ("a", "b"):
        column = texts.table.column(name).combine_chunks()
        kind = kind_of(column)
        assert staged.types[name] == str(type_of(kind))
        assert staged.column(name) == convert(column, kind).to_pylist()


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8))
def test_the_look_at_bytes_leaves_no_odd_field_out(rows: list[tuple[str, str]]) -> None:
    """Hits in the bytes are as many as odd texts, or more, so that none can hide behind another."""
    content = "".join(f"{a},{b}\n" for a, b in rows).encode()
    (block,) = RecordCutter(FieldRule(",", '"'), max_record_bytes=1000).blocks([(content, True)])
    quotes, paired = block.text_quotes()
    found = count_odd_fields(block.text(), block.text_starts(), quotes, paired=paired, delimiter=",")
    fields = [field[1:-1].replace('""', '"') if field.startswith('"') else field for row in rows for field in row]
    expected = count_odd_texts(pa.array(fields, pa.string()), ",")
    assert found == expected if paired else found >= expected

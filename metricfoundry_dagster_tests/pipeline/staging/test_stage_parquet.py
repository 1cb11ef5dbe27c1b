"""Parquet: the same values under the types that later stages expect, in bounded memory."""

import decimal
import gzip
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import Staged, refusal, stage


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def staged_column(array: pa.Array, **options: Any) -> tuple[str, list[Any]]:
    staged = stage(parquet(pa.table({"c": array}), **options), "t.parquet")
    return staged.types["c"], staged.column("c")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("array", "type_"),
    [
        (pa.array(["a", None], pa.large_string()), "string"),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "string"),
        (pa.array([b"a", None], pa.large_binary()), "binary"),
        (pa.array([1, None], pa.int8()), "int8"),
        (pa.array([2**64 - 1], pa.uint64()), "uint64"),
        (pa.array([decimal.Decimal("1.10"), None]), "decimal128(3, 2)"),
        (pa.array([date(2024, 2, 29)]), "date32[day]"),
        (pa.array([time(10, 30)]), "time64[us]"),
        (pa.array([moment("2024-01-01T10:00")], pa.timestamp("us")), "timestamp[us]"),
        (pa.array([moment("2024-01-01T10:00")], pa.timestamp("ms")), "timestamp[us]"),
        (pa.array([moment("2024-01-01T10:00")], pa.timestamp("ns")), "timestamp[us]"),
        (pa.array([None, None], pa.null()), "string"),
        (pa.array([1.5, None, float("nan")]).slice(0, 2), "double"),
    ],
)
def test_values_stay_under_their_staged_type(array: pa.Array, type_: str) -> None:
    assert staged_column(array) == (type_, array.to_pylist())


def test_zoned_times_become_utc() -> None:
    type_, values = staged_column(pa.array([moment("2024-01-01T10:00+00:00")], pa.timestamp("ms", tz="Europe/Berlin")))
    assert type_ == "timestamp[us, tz=UTC]"
    assert values[0].isoformat() == "2024-01-01T10:00:00+00:00"


def test_nanoseconds_that_matter_are_kept() -> None:
    table = pa.table({"t": pa.array([1_000] * 200_000 + [1], pa.timestamp("ns"))})
    staged = stage(parquet(table), "t.parquet")
    assert staged.types == {"t": "timestamp[ns]"}
    assert staged.table.column("t").cast(pa.int64())[-1].as_py() == 1


def test_int96_times_are_read() -> None:
    array = pa.array([moment("2024-01-01T10:00:00.000001")], pa.timestamp("us"))
    assert staged_column(array, use_deprecated_int96_timestamps=True) == ("timestamp[us]", array.to_pylist())


def test_nested_values_become_json() -> None:
    assert staged_column(pa.array([{"x": 1, "y": [True, None]}, None])) == ("string", ['{"x":1,"y":[true,null]}', None])
    assert staged_column(pa.array([[decimal.Decimal("1.10")], []])) == ("string", ['["1.10"]', "[]"])
    assert staged_column(pa.array([[date(2024, 1, 1)], [None]])) == ("string", ['["2024-01-01"]', "[null]"])
    assert staged_column(pa.array([[float("nan"), float("-inf")]])) == ("string", ['["nan","-inf"]'])
    assert staged_column(pa.array([[b"\x00\xff"]])) == ("string", ['["AP8="]'])
    assert staged_column(pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))) == ("string", ['[["k",1]]'])


def test_names_become_safe_and_the_null_rule_of_the_file_is_told() -> None:
    schema = pa.schema([pa.field("__time", pa.int64(), nullable=False), pa.field("a b", pa.int64()), pa.field("a b", pa.int64())])
    staged = stage(parquet(pa.table([[1], [2], [3]], schema=schema)), "t.parquet")
    assert [(c.name, c.source_name, c.nullable) for c in staged.product.columns] == [
        ("__time_2", "__time", False),
        ("a_b", "a b", True),
        ("a_b_2", "a b", True),
    ]
    assert staged.table.to_pylist() == [{"__time_2": 1, "a_b": 2, "a_b_2": 3}]


def test_a_table_without_rows_is_staged_as_such() -> None:
    staged = stage(parquet(pa.table({"a": pa.array([], pa.int64())})), "t.parquet")
    assert (staged.product.rows_in, staged.types) == (0, {"a": "int64"})


def test_a_zipped_file_is_read() -> None:
    staged = stage(gzip.compress(parquet(pa.table({"a": [1, 2]}))), "t.parquet.gz")
    assert (staged.recipe.compression, staged.column("a")) == ("gzip", [1, 2])


def test_many_batches_make_one_table() -> None:
    table = pa.table({"a": range(200_000)})
    staged = stage(parquet(table, row_group_size=7_000), "t.parquet", block_bytes=64 * 1000)
    assert staged.table.equals(table)


def damaged(where: Callable[[bytes], int]) -> bytes:
    whole = parquet(pa.table({"a": range(10_000), "b": ["x" * (number % 50) for number in range(10_000)]}))
    start = where(whole)
    return whole[:start] + b"\xff" * 64 + whole[start + 64 :]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (damaged(lambda whole: len(whole) - 100), "parquet.broken_footer"),
        (damaged(lambda whole: 200), "parquet.corrupt"),
        (parquet(pa.table({"a": [1]}))[:-1], "parquet.broken_footer"),
        (gzip.compress(parquet(pa.table({"a": [1]}))[:-20]), "parquet.broken_footer"),
        (gzip.compress(parquet(pa.table({"a": range(9000)})))[:-20], "gzip.truncated"),
    ],
)
def test_damage_is_told(content: bytes, code: str) -> None:
    assert refusal(content, "t.parquet").code == code


def test_a_file_that_unpacks_to_too_much_is_refused() -> None:
    """Run lengths make a small file of many rows, and its footer does not tell how many bytes they unpack to."""
    small = parquet(pa.table({"a": pa.array(["x" * 1000] * 100_000)}))
    assert len(small) < 20_000
    assert refusal(small, "t.parquet", limits=Limits(max_unpacked_bytes=10_000_000)).code == "file.too_large"


def test_limits_and_impossible_wishes_are_refused() -> None:
    wide = parquet(pa.table({f"c{number}": [1] for number in range(20)}))
    assert refusal(wide, "t.parquet", limits=Limits(max_columns=10)).code == "csv.too_many_columns"
    assert refusal(wide, "t.parquet", types={"c1": "string"}).code == "request.invalid"


@given(
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=5), st.none() | st.floats(allow_nan=False)), max_size=20
    )
)
def test_any_table_comes_back(rows: list[tuple[int, str, float | None]]) -> None:
    table = pa.table({"i": [row[0] for row in rows], "s": [row[1] for row in rows], "f": [row[2] for row in rows]}, schema=SCHEMA)
    staged: Staged = stage(parquet(table), "t.parquet")
    assert staged.table.equals(table)


SCHEMA = pa.schema([("i", pa.int64()), ("s", pa.string()), ("f", pa.float64())])

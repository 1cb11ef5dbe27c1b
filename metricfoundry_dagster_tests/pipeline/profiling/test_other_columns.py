"""Texts, bytes, times, booleans and the rest, against plain Python."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.profiling.count_texts import count_hashed, count_texts
from metricfoundry_dagster.pipeline.profiling.read_columns import TableFiles
from metricfoundry_dagster_tests.pipeline.profiling.written_tables import column_report, table_report, write_parts

TEXTS = st.none() | st.sampled_from(["", " ", "\t\n", "a", "b", "é", "\u3000", "漢字"]) | st.text(max_size=5)


@given(st.lists(TEXTS, max_size=50), st.integers(1, 3))
def test_texts_are_counted_as_python_counts_them(values: list[str | None], parts: int) -> None:
    with TemporaryDirectory() as folder:
        column = column_report(Path(folder), pa.array(values, pa.string()), parts=parts)
    present = [value for value in values if value is not None]
    assert column.nulls == len(values) - len(present)
    assert column.blanks == sum(not value or value.isspace() for value in present)
    assert column.missing == column.nulls + column.blanks
    assert column.distinct == len(set(present))
    assert {t.value: t.count for t in column.top_values}.items() <= Counter(present).items()
    assert [t.count for t in column.top_values] == [count for _, count in Counter(present).most_common(10)]
    if present:
        by_bytes = sorted(present, key=str.encode)
        assert (column.min, column.max) == (by_bytes[0], by_bytes[-1])
        assert column.lengths is not None
        assert (column.lengths.min, column.lengths.max) == (min(map(len, present)), max(map(len, present)))
        assert column.lengths.mean == pytest.approx(sum(map(len, present)) / len(present))


@given(st.lists(TEXTS, max_size=60), st.integers(1, 64), st.integers(1, 3))
def test_hashing_a_column_gives_what_encoding_it_gives(values: list[str | None], hash_bits: int, parts: int) -> None:
    """However many hashes collide, and in however many passes the repeated texts are read."""
    with TemporaryDirectory() as folder:
        paths = write_parts(Path(folder), pa.table({"c": pa.array(values, pa.string())}), parts=parts, row_group_rows=7)
        with TableFiles(paths) as files:
            encoded = count_texts(files, "c")
            hashed = count_hashed(files, "c", hash_bits=hash_bits, pass_bytes=40)
    assert (hashed.nulls, hashed.distinct, hashed.blanks) == (encoded.nulls, encoded.distinct, encoded.blanks)
    assert (hashed.minimum, hashed.maximum, hashed.lengths) == (encoded.minimum, encoded.maximum, encoded.lengths)
    assert [count for _, count in hashed.top] == [count for _, count in encoded.top]


def test_a_big_column_that_hardly_repeats_is_hashed_with_the_same_result(tmp_path: Path) -> None:
    values = [f"text {number // 2 if number % 100 == 1 else number}" for number in range(30_000)]
    others = {f"n{number}": pa.array(range(30_000)) for number in range(70)}
    table = table_report(tmp_path, {"c": pa.array(values), **others}, row_group_rows=10_000)
    column = table.columns[0]
    assert column.distinct == len(set(values))
    assert column.top_values[0].count == max(Counter(values).values())


def test_a_dictionary_with_an_unused_and_a_repeated_entry_is_read_by_its_values(tmp_path: Path) -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 2, 0, None]), pa.array(["a", "unused", "a"]))
    column = column_report(tmp_path, array)
    assert (column.distinct, column.nulls, column.top_values[0].count) == (1, 1, 3)


@pytest.mark.parametrize("data_type", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_every_layout_of_text_is_text(data_type: pa.DataType, tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array(["b", None, "a", "b"], pa.string()).cast(data_type))
    assert (column.kind, column.distinct, column.min, column.top_values[0].value) == ("text", 2, "a", "b")


def test_long_texts_are_cut(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array(["ä" * 5_000]))
    assert column.max == "ä" * 199 + "…"
    assert column.lengths is not None
    assert column.lengths.max == 5_000


def test_text_that_is_no_utf8_is_counted_all_the_same(tmp_path: Path) -> None:
    broken = pa.array([b"ok", b"\xff\xfe", b" "], pa.binary()).view(pa.string())
    column = column_report(tmp_path, broken)
    assert (column.distinct, column.blanks) == (3, 1)
    assert column.max == "\ufffd\ufffd"


def test_bytes_are_shown_in_hexadecimal_and_never_blank(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([b"\x00\xff", b"", None, b" "], pa.binary()))
    assert (column.kind, column.min, column.max, column.blanks, column.missing, column.distinct) == ("binary", "", "20", 0, 1, 3)


def test_booleans_are_counted(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([True, None, False, True] * 5), parts=3)
    assert (column.true, column.false, column.nulls, column.distinct) == (10, 5, 5, 2)
    assert column.min is None


def test_dates_and_times_of_day_are_shown_as_iso(tmp_path: Path) -> None:
    days = column_report(tmp_path / "d", pa.array([date(1, 1, 1), None, date(9999, 12, 31)]))
    assert (days.kind, days.min, days.max) == ("time", "0001-01-01", "9999-12-31")
    clock = column_report(tmp_path / "t", pa.array([time(23, 59, 59, 500_000), time(0, 0)]))
    assert (clock.min, clock.max, clock.span_seconds) == ("00:00:00", "23:59:59.5", 86_399.5)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_moments_have_range_span_and_quantiles(unit: str, tmp_path: Path) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=hour) for hour in (0, 1, 2, 4)]
    column = column_report(tmp_path, pa.array(moments, pa.timestamp(unit, "Europe/Berlin")))
    assert (column.min, column.max) == ("2020-01-01T00:00:00Z", "2020-01-01T04:00:00Z")
    assert column.span_seconds == 4 * 3600
    assert column.quantiles is not None
    assert (column.quantiles["25"], column.quantiles["50"]) == ("2020-01-01T00:45:00Z", "2020-01-01T01:30:00Z")
    assert column.mean is None


def test_naive_moments_carry_no_zone_and_every_digit(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([1, 1_000_000_001], pa.timestamp("ns")))
    assert (column.min, column.max) == ("1970-01-01T00:00:00.000000001", "1970-01-01T00:00:01.000000001")


def test_durations_are_numbers_in_their_unit(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([1_500, -500], pa.duration("ms")))
    assert (column.kind, column.mean, column.negatives) == ("number", 500.0, 1)


def test_nested_values_are_read_as_json(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([{"a": [1]}, {"a": [1]}, None]))
    assert (column.kind, column.distinct, column.min, column.nulls) == ("other", 1, '{"a": [1]}', 1)


@pytest.mark.parametrize(
    "data_type", [pa.null(), pa.string(), pa.int32(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us")]
)
def test_a_column_of_nulls_is_missing_whatever_its_type(data_type: pa.DataType, tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.nulls(4, data_type), parts=2)
    assert (column.nulls, column.missing_share, column.distinct, column.is_constant) == (4, 1.0, 0, False)
    assert column.top_values == () or column.kind == "boolean"


def test_a_name_that_is_the_beginning_of_another_with_a_dot_is_its_own_column(tmp_path: Path) -> None:
    table = table_report(tmp_path, {"a": pa.array([1] * 40_000), "a.b": pa.array(range(40_000)), **_many_columns(40_000)})
    assert [(c.name, c.distinct) for c in table.columns[:2]] == [("a", 1), ("a.b", 40_000)]


def _many_columns(rows: int) -> dict[str, pa.Array]:
    """Enough cells for the table to be read column by column."""
    return {f"n{number}": pa.array([number] * rows) for number in range(50)}

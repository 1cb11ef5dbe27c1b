"""Spans of times and the chunks they are cut into."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.serving.measure_times import TimeColumn, measure_parquet
from metricfoundry_dagster.pipeline.serving.time_chunks import ETERNITY, MAX_CHUNKS, TimeRange, choose_granularity


def ms(text: str) -> int:
    return int(np.datetime64(text, "ms").astype(np.int64))


YEAR_2013 = TimeRange(ms("2013-01-01T05:00"), ms("2013-12-31T23:59:59.999"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (1, "ALL"),
        (99_999, "ALL"),
        (100_000, "YEAR"),
        (336_776, "YEAR"),
        (1_200_000, "MONTH"),
        (36_500_000, "DAY"),
        (10**10, "DAY"),
    ],
)
def test_chunks_are_the_smallest_that_are_full_and_few(rows: int, expected: str) -> None:
    assert choose_granularity(YEAR_2013, rows)[0] == expected


def test_many_rows_of_one_day_are_cut_by_the_hour() -> None:
    day = TimeRange(ms("2013-01-01"), ms("2013-01-01T23:30"))
    assert choose_granularity(day, 2_400_000)[0] == "HOUR"
    assert day.interval("HOUR") == "2013-01-01T00:00:00.000Z/2013-01-02T00:00:00.000Z"


def test_the_whole_calendar_never_makes_more_chunks_than_allowed() -> None:
    calendar = TimeRange(ms("0001-01-01"), ms("9999-12-31T23:59:59.999"))
    assert choose_granularity(calendar, 10**12)[0] == "ALL"
    assert calendar.interval("YEAR") == "0001-01-01T00:00:00.000Z/10000-01-01T00:00:00.000Z"


def test_an_interval_holds_whole_chunks_before_1970_too() -> None:
    early = TimeRange(ms("1969-12-31T23:59:59.999"), ms("1969-12-31T23:59:59.999"))
    assert early.interval("MONTH") == "1969-12-01T00:00:00.000Z/1970-01-01T00:00:00.000Z"
    assert early.interval("ALL") == ETERNITY


@given(st.integers(-(10**14), 10**14), st.integers(0, 10**14), st.integers(1, 10**12))
def test_any_choice_keeps_to_the_bound_and_its_interval_holds_the_span(first: int, length: int, rows: int) -> None:
    span = TimeRange(first, first + length)
    granularity, _ = choose_granularity(span, rows)
    assert span.chunks(granularity) <= MAX_CHUNKS
    start, end = (ms(text.removesuffix("Z")) for text in span.interval(granularity).split("/"))
    assert start <= span.first_ms <= span.last_ms < end


@pytest.mark.parametrize("statistics", [True, False], ids=["from statistics", "from values"])
def test_spans_are_the_same_with_and_without_statistics(tmp_path: Path, *, statistics: bool) -> None:
    table = pa.table(
        {
            "day": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
            "s": pa.array([0, 1], pa.timestamp("s")),
            "ns": pa.array([-1, 2], pa.timestamp("ns")),
            "us": pa.array([-1_001, None], pa.timestamp("us", "UTC")),
            "day64": pa.array([0, 86_400_000 * 3], pa.date64()),
            "none": pa.array([None, None], pa.timestamp("us")),
            "text": ["x", "y"],
        }
    )
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for path, part in zip(paths, (table[:1], table[1:]), strict=True):
        pq.write_table(part, path, write_statistics=statistics)
    measured = measure_parquet(paths)
    assert (measured.rows, [column.name for column in measured.columns]) == (2, table.column_names)
    assert measured.times == (
        TimeColumn("day", 0, TimeRange(ms("0001-01-01"), ms("9999-12-31"))),
        TimeColumn("s", 0, TimeRange(0, 1_000)),
        TimeColumn("ns", 0, TimeRange(-1, 0)),
        TimeColumn("us", 1, TimeRange(-2, -1)),
        TimeColumn("day64", 0, TimeRange(0, 3 * 86_400_000)),
        TimeColumn("none", 2, None),
    )

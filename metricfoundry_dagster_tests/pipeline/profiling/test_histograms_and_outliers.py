"""Histograms count every value once; fences and their examples are those of Tukey."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.profiling.report import ColumnReport
from metricfoundry_dagster_tests.pipeline.profiling.written_tables import column_report

VALUES = st.lists(st.integers(-(2**62), 2**62) | st.integers(-20, 20), min_size=1, max_size=80)


def profiled(values: list[int] | list[float], data_type: pa.DataType) -> ColumnReport:
    with TemporaryDirectory() as folder:
        return column_report(Path(folder), pa.array(values, data_type), parts=2)


@given(VALUES)
def test_bins_of_whole_numbers_hold_what_lies_between_their_edges(values: list[int]) -> None:
    histogram = profiled(values, pa.int64()).histogram
    assert histogram is not None
    edges = [edge for edge in histogram.edges if isinstance(edge, int)]
    counted = [sum(low <= value < high for value in values) for low, high in pairwise(edges)]
    assert list(histogram.counts) == counted
    assert sum(counted) == len(values)
    assert len({high - low for low, high in pairwise(edges)}) == 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80))
def test_bins_of_floats_hold_what_lies_between_their_edges(values: list[float]) -> None:
    histogram = profiled(values, pa.float64()).histogram
    assert histogram is not None
    edges = [float(edge) for edge in histogram.edges]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (min(values), max(values))
    assert sum(histogram.counts) == len(values)
    inner = [sum(low <= value < high for value in values) for low, high in pairwise(edges[:-1])]
    assert list(histogram.counts[:-1]) == inner


def test_a_small_range_of_whole_numbers_has_a_bin_each(tmp_path: Path) -> None:
    histogram = column_report(tmp_path, pa.array([1, 2, 2, 12])).histogram
    assert histogram is not None
    assert histogram.edges == tuple(range(1, 14))
    assert histogram.counts == (1, 2, *[0] * 9, 1)


def test_times_have_histograms_with_moments_as_edges(tmp_path: Path) -> None:
    histogram = column_report(tmp_path, pa.array([date(2020, 1, 1), date(2020, 1, 3)])).histogram
    assert histogram is not None
    assert histogram.edges == ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04")
    assert histogram.counts == (1, 0, 1)


def test_bins_of_moments_begin_with_round_ones(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, 0, 17, 3, tzinfo=UTC)
    histogram = column_report(tmp_path, pa.array([start + timedelta(hours=hours) for hours in range(200)])).histogram
    assert histogram is not None
    assert histogram.edges[0] == "2026-01-01T00:00:00Z"
    assert all(str(edge).endswith(":00:00Z") for edge in histogram.edges)
    assert sum(histogram.counts) == 200


@given(VALUES)
def test_outliers_are_counted_as_tukey_would(values: list[int]) -> None:
    column = profiled(values, pa.int64())
    assert column.outliers is not None
    small = [value for value in values if abs(value) < 2**40]
    if len(small) < len(values):
        return
    first, third = np.quantile(values, [0.25, 0.75])
    low, high = first - 1.5 * (third - first), third + 1.5 * (third - first)
    assert column.outliers.lower_fence == pytest.approx(low)
    assert column.outliers.upper_fence == pytest.approx(high)
    outside = [value for value in values if not low <= value <= high]
    assert column.outliers.count == len(outside)
    assert len(column.outliers.examples) == min(5, len(outside))
    assert all(values[example.row - 1] == example.value for example in column.outliers.examples)


def test_examples_name_the_rows_of_the_furthest_values(tmp_path: Path) -> None:
    """Rows are counted from 1 over all parts, nulls included."""
    values = [None, 1, 2, 3, 2, 1, 900, 2, None, 3, -700, 2, 1, 900, 50, 60, 70, *[1, 2, 3] * 8]
    outliers = column_report(tmp_path, pa.array(values), parts=3).outliers
    assert outliers is not None
    assert outliers.count == 6
    assert [(example.row, example.value) for example in outliers.examples] == [
        (7, 900),
        (14, 900),
        (11, -700),
        (17, 70),
        (16, 60),
    ]


def test_a_null_is_no_outlier_whatever_lies_under_it(tmp_path: Path) -> None:
    hidden = pa.Array.from_buffers(pa.int64(), 8, [pa.py_buffer(b"\x7f"), pa.py_buffer(np.array([1] * 7 + [9**9], "i8"))])
    column = column_report(tmp_path, hidden)
    assert column.max == 1
    assert column.outliers is not None
    assert column.outliers.count == 0


def test_infinities_are_no_outliers(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([1.0, 2.0, 3.0, float("inf")]))
    assert column.outliers is not None
    assert (column.outliers.count, column.positive_infinity) == (0, 1)

"""The numbers of numeric columns, against NumPy, pandas and exact arithmetic."""

import math
import statistics
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.profiling.report import ColumnReport
from metricfoundry_dagster_tests.pipeline.profiling.written_tables import column_report

QUANTILES = {"1": 0.01, "5": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95, "99": 0.99}
INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5) | st.sampled_from([2**63 - 1, -(2**63)])
FLOATS = st.floats(allow_subnormal=False) | st.integers(-3, 3).map(float) | st.sampled_from([0.0, -0.0, math.nan, math.inf])


def profiled(values: list[Any], data_type: pa.DataType, parts: int = 1) -> ColumnReport:
    with TemporaryDirectory() as folder:
        return column_report(Path(folder), pa.array(values, data_type), parts=parts)


@given(st.lists(st.none() | INT64, max_size=60), st.integers(1, 3))
@example([2**63 - 1, -(2**63), None, 0], 1)
def test_whole_numbers_are_exact(values: list[int | None], parts: int) -> None:
    """Sums of 64-bit numbers leave 64 bits, and differences do too."""
    column = profiled(values, pa.int64(), parts)
    present = sorted(value for value in values if value is not None)
    assert column.nulls == values.count(None)
    assert column.distinct == len(set(present))
    if not present:
        assert (column.min, column.mean, column.quantiles, column.histogram) == (None, None, None, None)
        return
    assert (column.min, column.max) == (present[0], present[-1])
    assert column.mean == sum(present) / len(present)
    assert column.zeros == present.count(0)
    assert column.negatives == sum(value < 0 for value in present)
    assert {top.value: top.count for top in column.top_values}.items() <= Counter(present).items()
    if len(present) > 1:
        assert column.std == pytest.approx(math.sqrt(statistics.variance(map(Fraction, present))), rel=1e-9)


@given(st.lists(st.none() | FLOATS, max_size=60))
@example([1e308, -1e308, 1e308])
@example([5e-324, 0.0])
@example([1e-200, 2e-200, 4e-200])
def test_floats_agree_with_exact_arithmetic_over_the_finite_ones(values: list[float | None]) -> None:
    column = profiled(values, pa.float64())
    present = [value for value in values if value is not None]
    finite = [value for value in present if math.isfinite(value)]
    assert column.nan == sum(map(math.isnan, present))
    assert column.positive_infinity == present.count(math.inf)
    assert column.negative_infinity == present.count(-math.inf)
    different = {value + 0.0 for value in present if not math.isnan(value)}
    assert column.distinct == len(different) + (column.nan > 0)
    assert column.negatives == sum(value < 0 for value in present)
    exact = [Fraction(value) for value in finite]
    if finite:
        assert column.mean == pytest.approx(float(sum(exact) / len(exact)), rel=1e-9, abs=1e-9 * max(map(abs, finite)))
        assert (column.min, column.max) == (min(finite), max(finite))
    if len(finite) > 1 and column.std is not None and max(map(abs, finite)) > 1e-290:
        variance = statistics.variance(exact)
        assert column.std == pytest.approx(_root(variance), rel=1e-6, abs=1e-9 * max(map(abs, finite)))


@given(st.lists(st.integers(-1000, 1000) | st.integers(-(2**40), 2**40), min_size=1, max_size=80))
def test_quantiles_are_those_of_numpy(values: list[int]) -> None:
    """Definition 7 of Hyndman and Fan."""
    column = profiled(values, pa.int64())
    assert column.quantiles is not None
    for percent, share in QUANTILES.items():
        assert column.quantiles[percent] == pytest.approx(float(np.quantile(values, share)), rel=1e-12, abs=1e-9)


def test_random_columns_agree_with_pandas(tmp_path: Path) -> None:
    """Sorted, repeated, shifted far from zero, with nulls, over several parts and row groups."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "lognormal": rng.lognormal(3, 1, 5_000),
            "prices": np.round(rng.lognormal(3, 1, 5_000), 1),
            "far": 1e9 + rng.random(5_000),
            "ordered": np.arange(5_000) * 3.5,
            "sparse": np.where(rng.random(5_000) < 0.3, np.nan, rng.normal(size=5_000)),
        }
    )
    expected = frame.describe()
    for name in frame:
        values = pa.array(frame[name], from_pandas=True)
        column = column_report(tmp_path / str(name), values, parts=3)
        assert column.mean == pytest.approx(expected[name]["mean"], rel=1e-12, abs=1e-12)
        assert column.std == pytest.approx(expected[name]["std"], rel=1e-9)
        assert column.quantiles is not None
        assert [column.quantiles[p] for p in ("25", "50", "75")] == pytest.approx(list(expected[name][["25%", "50%", "75%"]]))
        assert column.distinct == frame[name].nunique()
        assert column.histogram is not None
        assert sum(column.histogram.counts) == expected[name]["count"]


@pytest.mark.parametrize(
    "data_type", [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.int64()]
)
def test_every_width_of_integers_reaches_its_bounds(data_type: pa.DataType, tmp_path: Path) -> None:
    signed = pa.types.is_signed_integer(data_type)
    low = -(2 ** (data_type.bit_width - 1)) if signed else 0
    high = low + 2**data_type.bit_width - 1
    column = column_report(tmp_path, pa.array([low, high, high, None], data_type))
    assert (column.min, column.max, column.distinct, column.nulls) == (low, high, 2, 1)
    assert column.mean == (low + 2 * high) / 3
    assert column.top_values[0].value == high
    assert column.histogram is not None
    assert sum(column.histogram.counts) == 3


@pytest.mark.parametrize("data_type", [pa.float16(), pa.float32(), pa.float64()])
def test_every_width_of_floats_is_read(data_type: pa.DataType, tmp_path: Path) -> None:
    values = np.array([0.5, 1.5, -2.0, 0.5], dtype=data_type.to_pandas_dtype())
    column = column_report(tmp_path, pa.array(values, data_type))
    assert (column.min, column.max, column.mean, column.distinct) == (-2.0, 1.5, 0.125, 3)


@pytest.mark.parametrize("data_type", [pa.decimal128(6, 2), pa.decimal128(38, 2), pa.decimal256(60, 2)])
def test_decimals_are_shown_exactly(data_type: pa.DataType, tmp_path: Path) -> None:
    """Up to 18 digits are counted as integers of 64 bits, more as Python's; the report is the same."""
    values = [Decimal("1.10"), Decimal("-2.25"), None, Decimal("1.10"), Decimal("9000.00"), Decimal("0.00")]
    column = column_report(tmp_path, pa.array(values, data_type), parts=2)
    assert (column.min, column.max, column.distinct, column.nulls) == ("-2.25", "9000.00", 4, 1)
    assert column.mean == pytest.approx(1799.99)
    assert column.quantiles is not None
    assert (column.quantiles["50"], column.quantiles["95"]) == ("1.10", "7200.22")
    assert (column.zeros, column.negatives) == (1, 1)
    assert column.top_values[0].value == "1.10"
    assert column.outliers is not None
    assert [(o.row, o.value) for o in column.outliers.examples] == [(5, "9000.00"), (2, "-2.25")]


def test_decimals_beyond_64_bits_keep_every_digit(tmp_path: Path) -> None:
    huge = 12345678901234567890123456789012345678
    column = column_report(tmp_path, pa.array([Decimal(huge), Decimal(huge - 2)], pa.decimal128(38, 0)))
    assert (column.max, column.quantiles and column.quantiles["50"]) == (str(huge), str(huge - 1))


def test_minus_zero_is_zero_and_every_nan_is_one_value(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([0.0, -0.0, math.nan, -math.nan, math.inf]))
    assert (column.distinct, column.zeros, column.negatives) == (3, 2, 0)
    assert {top.value: top.count for top in column.top_values} == {0.0: 2, "NaN": 2, "Infinity": 1}


def test_a_column_of_nan_has_no_other_numbers(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([math.nan, math.nan]))
    assert (column.nan, column.distinct, column.nulls, column.min, column.outliers) == (2, 1, 0, None, None)


def test_one_value_has_no_deviation(tmp_path: Path) -> None:
    column = column_report(tmp_path, pa.array([7]))
    assert (column.mean, column.std, column.is_unique, column.is_constant) == (7.0, None, True, False)


def _root(value: Fraction) -> float:
    """The square root of a fraction that may itself be beyond double precision."""
    halved = (value.numerator.bit_length() - value.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(value / Fraction(4) ** halved), halved)

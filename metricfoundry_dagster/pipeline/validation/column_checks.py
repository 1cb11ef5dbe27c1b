"""What one rule of a contract asks of the values of one column, as expressions that say which rows break it.

Nulls, and NaN among floats, are missing values: they break `nullable: false` and nothing else. Whole numbers,
decimals, dates and time stamps are compared as integers in their own unit, so a bound is never rounded.
"""

import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from metricfoundry_dagster.domain.contracts import ColumnRule, Scalar
from metricfoundry_dagster.pipeline.contract_types import VALUE_FIELDS
from metricfoundry_dagster.pipeline.validation.compiled_contract import Check, JudgedColumn

if TYPE_CHECKING:
    import polars as pl

_BOUNDS = {
    "minimum": ("contract.below_minimum", "is below the minimum"),
    "above": ("contract.below_minimum", "is not above"),
    "maximum": ("contract.above_maximum", "is above the maximum"),
    "below": ("contract.above_maximum", "is not below"),
}
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_SHOWN = 10


def column_checks(rule: ColumnRule, column: JudgedColumn) -> Iterator[Check]:
    """Everything that a row can break in this column, but uniqueness, which needs the whole table."""
    import polars as pl  # a warm parent process must not have used Polars before it forks

    raw, value = pl.col(column.raw), pl.col(column.value)
    there = ~is_missing(column)
    if column.cast is not None:
        fails = raw.is_not_null() & value.is_null()
        yield Check((column,), "type", "contract.wrong_type", f"is no {column.type}", fails)
    if not rule.nullable:
        missing = raw.is_null() | value.is_nan().fill_null(value=False) if column.dtype.is_float() else raw.is_null()
        yield Check((column,), "nullable", "contract.null_value", "is missing", missing)
    for name in VALUE_FIELDS:
        bound = getattr(rule, name)
        if bound is not None:
            code, complaint = _BOUNDS[name]
            yield Check((column,), name, code, f"{complaint} {bound}", there & _breaks_bound(column, name, bound))
    if rule.allowed is not None:
        complaint = f"is not one of {_listed(rule.allowed)}"
        yield Check((column,), "allowed", "contract.not_in_set", complaint, there & ~_is_one_of(column, rule.allowed))
    if rule.pattern is not None:
        matches = value.str.contains(f"^(?:{rule.pattern})$").fill_null(value=False)
        yield Check((column,), "pattern", "contract.pattern_mismatch", f"does not match {rule.pattern}", there & ~matches)


def is_missing(column: JudgedColumn) -> "pl.Expr":
    """Whether there is no value to judge: null, NaN, or a value that has failed its cast."""
    import polars as pl

    value = pl.col(column.value)
    return (value.is_null() | value.is_nan()).fill_null(value=True) if column.dtype.is_float() else value.is_null()


def _breaks_bound(column: JudgedColumn, name: str, bound: Scalar) -> "pl.Expr":
    """True or false where there is a value."""
    import polars as pl

    value = pl.col(column.value)
    integer = _integer_type(column.dtype)
    if integer is None:
        limit = pl.lit(_as_float(bound) if column.dtype.is_float() else bound, dtype=column.dtype)
        broken = {"minimum": value < limit, "above": value <= limit, "maximum": value > limit, "below": value >= limit}[name]
        return broken.fill_null(value=False)
    lowest, highest = _range_of(integer)
    units = _in_units(bound, column.dtype)
    if name in ("minimum", "above"):
        lowest = max(lowest, math.ceil(units) if name == "minimum" else math.floor(units) + 1)
    else:
        highest = min(highest, math.floor(units) if name == "maximum" else math.ceil(units) - 1)
    if lowest > highest:
        return pl.lit(value=True)
    held = value.to_physical().is_between(pl.lit(lowest, dtype=integer), pl.lit(highest, dtype=integer))
    return ~held.fill_null(value=True)


def _is_one_of(column: JudgedColumn, allowed: tuple[Scalar, ...]) -> "pl.Expr":
    import polars as pl

    value = pl.col(column.value)
    integer = _integer_type(column.dtype)
    if integer is None:
        values = [_as_float(entry) if column.dtype.is_float() else entry for entry in allowed]
        return value.is_in(pl.Series(values, dtype=column.dtype).implode()).fill_null(value=False)
    lowest, highest = _range_of(integer)
    units = {_in_units(entry, column.dtype) for entry in allowed}
    whole = sorted(int(u) for u in units if u.denominator == 1 and lowest <= u <= highest)
    return value.to_physical().is_in(pl.Series(whole, dtype=integer).implode()).fill_null(value=False)


def _integer_type(dtype: "pl.DataType") -> "pl.DataType | None":
    """The type of the integers that stand for the values; None for floats, text and booleans."""
    import polars as pl

    if dtype.is_integer():
        return dtype
    if dtype == pl.Date:
        return pl.Int32()
    if dtype == pl.Datetime:
        return pl.Int64()
    return pl.Int128() if isinstance(dtype, pl.Decimal) else None


def _range_of(integer: "pl.DataType") -> tuple[int, int]:
    sign, bits = re.fullmatch(r"(U?)Int(\d+)", str(integer)).groups()  # type: ignore[union-attr]  # all integers are so called
    return (0, 2 ** int(bits) - 1) if sign else (-(2 ** (int(bits) - 1)), 2 ** (int(bits) - 1) - 1)


def _in_units(value: Scalar, dtype: "pl.DataType") -> Fraction:
    """A bound in the integers that stand for the column's values; a fraction when it lies between two of them."""
    import polars as pl

    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
        per_second = Fraction(_PER_SECOND[dtype.time_unit]) if isinstance(dtype, pl.Datetime) else Fraction(1, 86_400)
        return Fraction(microseconds) * per_second / 10**6
    scale = dtype.scale if isinstance(dtype, pl.Decimal) else 0
    return Fraction(repr(value)) * int(10**scale)


def _as_float(value: Scalar) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # a contract has only numbers for a column of numbers
    except OverflowError:
        return math.copysign(math.inf, 1 if value > 0 else -1)  # type: ignore[operator]  # as above


def _listed(values: tuple[Scalar, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:_MOST_SHOWN])
    return f"{shown}, …" if len(values) > _MOST_SHOWN else shown

"""How values of each type are written into a report: as JSON numbers where these are exact, as text elsewhere.

Rounding for the eye is the page's business, not done here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from math import floor, isfinite
from typing import Any

import numpy as np
import pyarrow as pa

from metricfoundry_dagster.pipeline.profiling.describe_numbers import Number
from metricfoundry_dagster.pipeline.profiling.report import Shown

#: Longer texts are cut and end in an ellipsis.
MAX_SHOWN_CHARS = 200
_UNITS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
#: Decimals have at most 76 digits; interpolation adds a few.
_ENOUGH_DIGITS = Context(prec=100)


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """How counted numbers are shown. Decimals are counted in units, of which 10 ** `scale` make one."""

    scale: int | None = None

    def __call__(self, number: Number) -> Shown:
        """A finite number: decimals as text, other whole results as integers, the rest in double precision."""
        if self.scale is not None:
            exact = Fraction(number)
            units = _ENOUGH_DIGITS.divide(Decimal(exact.numerator), Decimal(exact.denominator))
            return format(units.scaleb(-self.scale, _ENOUGH_DIGITS), "f")
        if isinstance(number, Fraction):
            return number.numerator if number.denominator == 1 else float(number)
        return number

    def fence(self, number: Number) -> Shown | None:
        """The same, None for infinities."""
        return None if isinstance(number, float) and not isfinite(number) else self(number)

    def average(self, units: float | None) -> float | None:
        """A mean or deviation of counted values, in the column's own measure."""
        return units if units is None or self.scale is None else units / 10**self.scale


def number_style(data_type: pa.DataType) -> NumberStyle:
    """The style of a numeric type; durations are counted in the unit that their type names."""
    return NumberStyle(data_type.scale if pa.types.is_decimal(data_type) else None)


def time_style(data_type: pa.DataType) -> Callable[[Number], str]:
    """Shows a count of units as ISO 8601, whatever the year; moments with a zone in UTC, marked with a Z.

    Results between two units are rounded down.
    """
    if pa.types.is_time(data_type):
        return lambda ticks: _clock(ticks, data_type.unit)
    if pa.types.is_date32(data_type):
        return lambda ticks: str(_moment(ticks, "D"))
    if pa.types.is_date64(data_type):
        return lambda ticks: str(_moment(ticks, "ms").astype("datetime64[D]"))
    suffix = "Z" if data_type.tz is not None else ""
    return lambda ticks: _without_zeros(str(_moment(ticks, data_type.unit))) + suffix


def units_a_second(data_type: pa.DataType) -> Fraction:
    """How many of the units that a type of times is counted in make a second."""
    if pa.types.is_date32(data_type):
        return Fraction(1, 86_400)
    return Fraction(_UNITS_A_SECOND["ms" if pa.types.is_date64(data_type) else data_type.unit])


def shown_text(value: bytes) -> str:
    """Text, cut when it is long; bytes that are no UTF-8 become replacement characters."""
    head = value[: 4 * (MAX_SHOWN_CHARS + 1)].decode(errors="replace")
    return head if len(head) <= MAX_SHOWN_CHARS else head[: MAX_SHOWN_CHARS - 1] + "…"


def shown_bytes(value: bytes) -> str:
    """Bytes in hexadecimal, cut when they are long."""
    digits = value[:MAX_SHOWN_CHARS].hex()
    return digits if len(digits) <= MAX_SHOWN_CHARS else digits[: MAX_SHOWN_CHARS - 1] + "…"


def _clock(ticks: Number, unit: str) -> str:
    moment = str(_moment(ticks, unit))
    return _without_zeros(moment.partition("T")[2])


def _moment(ticks: Number, unit: Any) -> np.datetime64:
    return np.datetime64(floor(ticks), unit)


def _without_zeros(moment: str) -> str:
    seconds, point, fraction = moment.partition(".")
    digits = fraction.rstrip("0")
    return f"{seconds}.{digits}" if point and digits else seconds

"""Counted numbers in, statistics out: quantiles, moments, histograms, fences, the commonest values.

Whole numbers are calculated exactly, with Python's integers and fractions, and rounded once at the end;
floating-point numbers in double precision around a shifted origin. Only finite values take part. How a value is
shown (a date, a decimal) is decided in `describe_columns.py`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from metricfoundry_dagster.pipeline.profiling.count_numbers import CountedNumbers
from metricfoundry_dagster.pipeline.profiling.read_columns import Mask, Values

Number = int | float | Fraction

TOP_VALUES = 10
OUTLIER_EXAMPLES = 5
HISTOGRAM_BINS = 20
#: Whole numbers within so small a range have a bin each: hours, days, minutes, marks.
_BIN_EACH = 60
_TUKEY_FACTOR = Fraction(3, 2)
_BLOCK = 1 << 16


def quantile(numbers: CountedNumbers, share: Fraction) -> Number:
    """The quantile at `share` in 0..1 of at least one value, by linear interpolation between neighbours.

    Position (n - 1) * share in the sorted values, from 0: definition 7 of Hyndman and Fan, as in NumPy and R.
    A Fraction, exact, for whole numbers.
    """
    position = (numbers.total - 1) * share
    below = math.floor(position)
    low = numbers.in_order(below)
    rest = position - below
    if not rest:
        return low
    high = numbers.in_order(below + 1)
    if isinstance(low, int) and isinstance(high, int):
        return Fraction(low) + (high - low) * rest
    weight = float(rest)
    return low * (1 - weight) + high * weight if math.isinf(high - low) else low + (high - low) * weight


def mean_and_std(numbers: CountedNumbers) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (divided by n - 1); None without values, or with one for the second.

    Also None when the result is beyond the range of double precision.
    """
    if not numbers.total:
        return None, None
    scale = _scale(numbers)
    shifted_mean, squares = _moments(numbers, scale)
    mean = _exact_mean(numbers) if numbers.is_integer else float(numbers.values[0]) * scale + shifted_mean
    std = math.sqrt(max(squares, 0.0) / (numbers.total - 1)) if numbers.total > 1 else None
    return _finite(mean if numbers.is_integer else mean / scale), _finite(None if std is None else std / scale)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _scale(numbers: CountedNumbers) -> float:
    # Squares of very large or very small numbers leave the range of double precision.
    if numbers.is_integer:
        return 1.0
    largest = max(abs(float(numbers.values[0])), abs(float(numbers.values[-1])))
    exponent = math.frexp(largest)[1]
    return math.ldexp(1.0, max(-1000, min(1000, -exponent))) if abs(exponent) > 300 else 1.0


def _exact_mean(numbers: CountedNumbers) -> float:
    try:
        return exact_sum(numbers) / numbers.total
    except OverflowError:
        return math.inf


def exact_sum(numbers: CountedNumbers) -> int:
    """The sum of whole numbers, of any size."""
    values, counts = numbers.values, numbers.counts
    if values.dtype == object:
        return sum(int(value) * int(count) for value, count in zip(values, counts, strict=True))
    # Two halves of 32 bits: each product with a count below 2**31 stays within 64 bits.
    low = int(np.dot((values & values.dtype.type(0xFFFFFFFF)).astype(np.uint64), counts.view(np.uint64)))
    high = int(np.dot(values >> values.dtype.type(32), counts.astype(values.dtype, copy=False)))
    return (high << 32) + low


def _moments(numbers: CountedNumbers, scale: float) -> tuple[float, float]:
    """Mean of the values less the smallest, and the sum of squared deviations, both scaled."""
    mean = math.fsum(float((shifted * counts).sum()) for shifted, counts in _shifted(numbers, scale)) / numbers.total
    rest, squares = [], []
    for shifted, counts in _shifted(numbers, scale):
        deviations = shifted - mean
        weighted = deviations * counts
        rest.append(float(weighted.sum()))
        squares.append(float((weighted * deviations).sum()))
    # What rounding left in the mean is taken out of both.
    error = math.fsum(rest) / numbers.total
    return mean + error, math.fsum(squares) - error * error * numbers.total


def _shifted(numbers: CountedNumbers, scale: float) -> Iterator[tuple[Values, Values]]:
    values, counts = numbers.values, numbers.counts
    smallest = values[0] * scale if values.dtype.kind == "f" else values[0]
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        if values.dtype.kind == "f":
            yield block * scale - smallest, counts[start : start + _BLOCK]
        elif values.dtype == object:
            yield np.array([float(value - smallest) for value in block]), counts[start : start + _BLOCK]
        else:  # unsigned difference: exact even where the signed one leaves 64 bits
            difference = block.view(np.uint64) - values[:1].view(np.uint64)
            yield difference.astype(np.float64), counts[start : start + _BLOCK]


def histogram(numbers: CountedNumbers, *, grains: Sequence[int] = ()) -> tuple[list[int | float], list[int]]:
    """Edges and counts of about twenty bins of equal width from the smallest value to the largest.

    Edges of whole numbers are multiples of the first of `grains` (say, a day and an hour in the column's unit)
    of which the range holds as many as there are bins, so the first may lie below the smallest value. A bin holds
    its lower edge and not its upper one, except that the last bin of floating-point numbers holds both. Whole
    numbers get whole widths, so the last edge lies above the largest. Empty without values.
    """
    if not numbers.total:
        return [], []
    low, high = numbers.in_order(0), numbers.in_order(numbers.total - 1)
    edges = _whole_edges(int(low), int(high), grains) if numbers.is_integer else _float_edges(float(low), float(high))
    inner = np.array(edges[1:-1], dtype=numbers.values.dtype)
    places = [0, *np.searchsorted(numbers.values, inner).tolist(), len(numbers.values)]
    rows = [numbers.rows_below(place) for place in places]
    return edges, [after - before for before, after in pairwise(rows)]


def _whole_edges(low: int, high: int, grains: Sequence[int]) -> list[int | float]:
    bins = HISTOGRAM_BINS
    grain = next((grain for grain in grains if high - low >= bins * grain), 1)
    start, places = low // grain, high // grain - low // grain + 1
    widths = [1] if places <= _BIN_EACH else [-(-places // count) for count in range(bins - bins // 4, bins + bins // 4 + 1)]
    # A last bin that reaches far beyond the largest value would look like a gap in the data.
    width = min(widths, key=lambda width: (-places % width) / width)
    return [grain * (start + width * step) for step in range(-(-places // width) + 1)]


def _float_edges(low: float, high: float) -> list[int | float]:
    if low == high:
        return [low, high]
    shares = [step / HISTOGRAM_BINS for step in range(1, HISTOGRAM_BINS)]
    inner = [low * (1 - share) + high * share for share in shares]
    return [low, *(min(max(edge, low), high) for edge in inner), high]


def commonest(numbers: CountedNumbers, limit: int = TOP_VALUES) -> list[tuple[int | float, int]]:
    """The finite values that occur most often, with their counts; of equal counts the smaller value first."""
    places = top_places(numbers.counts, limit)
    return [(int(v) if numbers.is_integer else float(v), int(numbers.counts[p])) for p in places for v in [numbers.values[p]]]


def top_places(counts: Values, limit: int = TOP_VALUES) -> list[int]:
    """Places of the `limit` largest counts, largest first; of equal counts the earlier place first."""
    if len(counts) <= limit or counts.max() == 1:
        chosen = np.arange(min(len(counts), limit))
    else:
        least = np.partition(counts, len(counts) - limit)[len(counts) - limit]
        above = np.flatnonzero(counts > least)
        chosen = np.concatenate((above, _first_equal(counts, least, limit - len(above))))
    order: list[int] = chosen[np.lexsort((chosen, -counts[chosen]))].tolist()
    return order


def _first_equal(counts: Values, wanted: int, limit: int) -> Values:
    head = np.flatnonzero(counts[:_BLOCK] == wanted)[:limit]
    return head if len(head) == limit else np.flatnonzero(counts == wanted)[:limit]


@dataclass(frozen=True, slots=True)
class Fences:
    """Tukey's fences: values below `lower` or above `upper` are outliers, `count` rows of them."""

    lower: Number
    upper: Number
    count: int
    #: The values furthest outside, furthest first, without repetition.
    furthest: tuple[int | float, ...]


def tukey_fences(numbers: CountedNumbers, limit: int = OUTLIER_EXAMPLES) -> Fences:
    """Fences one and a half interquartile ranges outside the quartiles, of at least one value."""
    first, third = quantile(numbers, Fraction(1, 4)), quantile(numbers, Fraction(3, 4))
    lower, upper = _outside(first, third, -1), _outside(third, first, 1)
    below, above = _places_outside(numbers, lower, upper)
    count = numbers.rows_below(below) + numbers.total - numbers.rows_below(above)
    places = {*range(min(below, limit)), *range(max(above, len(numbers.values) - limit), len(numbers.values))}
    values = [int(v) if numbers.is_integer else float(v) for v in (numbers.values[place] for place in sorted(places))]
    furthest = sorted(values, key=lambda value: value - lower if value < lower else upper - value)
    return Fences(lower, upper, count, tuple(furthest[:limit]))


def _outside(quartile: Number, other: Number, side: int) -> Number:
    if isinstance(quartile, float) or isinstance(other, float):
        return float(quartile) + side * 1.5 * abs(float(quartile) - float(other))
    return quartile + side * _TUKEY_FACTOR * abs(Fraction(quartile) - other)


def _places_outside(numbers: CountedNumbers, lower: Number, upper: Number) -> tuple[int, int]:
    """How many values lie below the lower fence, and the place of the first above the upper one."""
    values = numbers.values
    if not numbers.is_integer:
        return int(np.searchsorted(values, float(lower))), int(np.searchsorted(values, float(upper), side="right"))
    smallest, largest = int(values[0]), int(values[-1])
    # Fences beyond the values would not fit into their type.
    low, high = max(math.ceil(lower), smallest), min(math.floor(upper), largest)
    below = int(np.searchsorted(values, values.dtype.type(low)))
    return below, int(np.searchsorted(values, values.dtype.type(high), side="right"))


def rows_holding(
    values: Values, valid: Mask | None, wanted: tuple[int | float, ...], limit: int
) -> list[tuple[int, int | float]]:
    """Row numbers, from 1, of up to `limit` rows with one of the wanted values, in the order of these, then of rows."""
    found: list[tuple[int, int | float]] = []
    for value in wanted:
        matches = values == values.dtype.type(value)
        rows = np.flatnonzero(matches if valid is None else matches & valid)[: limit - len(found)]
        found += [(row + 1, value) for row in rows.tolist()]
        if len(found) == limit:
            break
    return found

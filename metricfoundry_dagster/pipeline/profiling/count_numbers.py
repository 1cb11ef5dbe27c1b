"""Sort each column once: its distinct values in order, with their counts, from which every number follows.

Values with exact order and equality only: integers (also times and decimals, counted in their unit) and
floating-point numbers. What the counted values mean is not known here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metricfoundry_dagster.pipeline.profiling.read_columns import Values

Counts = npt.NDArray[np.int64]

#: Integers are counted in one table, without sorting, while it has at most this many places ...
_SMALL_RANGE = 1 << 16
#: ... or fewer than the column has rows, up to this bound, above which the table leaves the processor's caches.
_LARGEST_RANGE = 1 << 21


@dataclass(frozen=True, slots=True)
class CountedNumbers:
    """The finite values of a column without repetition, ascending, and how often each occurs.

    `values` are int64, uint64, float64, or Python integers in an object array where 64 bits do not suffice;
    `last_rows` is the running sum of `counts`. NaN and the infinities are only counted.
    """

    values: Values
    counts: Counts
    last_rows: Counts
    nan: int = 0
    positive_infinity: int = 0
    negative_infinity: int = 0

    @property
    def total(self) -> int:
        """Rows with a finite value."""
        return int(self.last_rows[-1]) if len(self.last_rows) else 0

    @property
    def distinct(self) -> int:
        """Different values that are not null; every NaN is the same value."""
        return len(self.values) + (self.nan > 0) + (self.positive_infinity > 0) + (self.negative_infinity > 0)

    @property
    def is_integer(self) -> bool:
        """Whether the values are whole numbers, so that arithmetic on them can be exact."""
        return self.values.dtype.kind != "f"

    def in_order(self, position: int) -> int | float:
        """The value at a position, from 0, of all finite values in ascending order."""
        found: int | float = self.values[int(np.searchsorted(self.last_rows, position, side="right"))]
        return int(found) if self.is_integer else float(found)

    def rows_below(self, place: int) -> int:
        """How many rows hold one of the first `place` values."""
        return int(self.last_rows[place - 1]) if place else 0


def count_numbers(present: Values) -> CountedNumbers:
    """Count a column's values that are not null. Integers of less than 64 bits are widened in the result.

    Costs one sorted copy of the values; none for integers within a small range.
    """
    if present.dtype.kind == "f":
        return _count_floats(np.sort(present))
    wide = np.dtype(np.uint64 if present.dtype.kind == "u" else np.int64)
    if len(present):
        low, high = int(present.min()), int(present.max())
        places = high - low + 1
        if places <= max(_SMALL_RANGE, min(len(present), _LARGEST_RANGE)) and places <= 8 * len(present):
            return _count_in_table(present, low, places, wide)
    values, counts = _runs(_sorted(present))
    return with_counts(values.astype(wide, copy=False), counts)


def with_counts(values: Values, counts: Counts) -> CountedNumbers:
    """Distinct finite values, ascending, and their counts."""
    return CountedNumbers(values, counts, _running_sum(counts))


def _running_sum(counts: Counts) -> Counts:
    nothing_repeats = counts.strides == (0,)
    return np.arange(1, len(counts) + 1) if nothing_repeats else np.cumsum(counts, dtype=np.int64)


def _count_in_table(present: Values, low: int, places: int, wide: np.dtype[np.generic]) -> CountedNumbers:
    offsets = present.astype(wide, copy=False) - wide.type(low)
    counted = np.bincount(offsets.view(np.int64), minlength=places)
    occurring = np.flatnonzero(counted)
    return with_counts(occurring.astype(wide) + wide.type(low), counted[occurring].astype(np.int64, copy=False))


def _count_floats(ordered: Values) -> CountedNumbers:
    # NaN sorts behind everything, the infinities lie at the ends of the rest.
    first, last, numbers = np.searchsorted(ordered, [-np.finfo(np.float64).max, np.inf, np.nan])
    values, counts = _runs(ordered[first:last])
    return CountedNumbers(
        values,
        counts,
        _running_sum(counts),
        nan=len(ordered) - int(numbers),
        positive_infinity=int(numbers - last),
        negative_infinity=int(first),
    )


def _sorted(present: Values) -> Values:
    # Row numbers, keys and times of events mostly arrive in order.
    return present if bool((present[1:] >= present[:-1]).all()) else np.sort(present)


def _runs(ordered: Values) -> tuple[Values, Counts]:
    changes = ordered[1:] != ordered[:-1]
    runs = np.count_nonzero(changes) + 1
    if runs >= len(ordered):  # nothing repeats, so nothing needs to be gathered
        return ordered, np.broadcast_to(np.int64(1), len(ordered))
    starts = np.empty(runs, dtype=np.int64)
    starts[0] = 0
    np.add(np.flatnonzero(changes), 1, out=starts[1:])
    return ordered[starts], np.diff(starts, append=len(ordered))

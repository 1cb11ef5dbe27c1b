"""One column of a table in, its `ColumnReport` out: which numbers a type gets, and how its values are shown.

How values are counted belongs in `count_*.py`, the arithmetic in `describe_numbers.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from metricfoundry_dagster.pipeline.profiling.count_numbers import CountedNumbers, count_numbers, with_counts
from metricfoundry_dagster.pipeline.profiling.count_texts import CountedTexts, EncodedColumn, count_texts, encode_column
from metricfoundry_dagster.pipeline.profiling.describe_numbers import (
    OUTLIER_EXAMPLES,
    TOP_VALUES,
    Number,
    commonest,
    histogram,
    mean_and_std,
    quantile,
    rows_holding,
    tukey_fences,
)
from metricfoundry_dagster.pipeline.profiling.find_duplicates import RowHashes
from metricfoundry_dagster.pipeline.profiling.read_columns import (
    FixedColumn,
    TableFiles,
    is_fixed,
    is_nested,
)
from metricfoundry_dagster.pipeline.profiling.report import (
    ColumnReport,
    Histogram,
    Kind,
    OutlierExample,
    Outliers,
    Shown,
    TextLengths,
    TopValue,
)
from metricfoundry_dagster.pipeline.profiling.show_values import (
    NumberStyle,
    number_style,
    shown_bytes,
    shown_text,
    time_style,
    units_a_second,
)

QUANTILES_PERCENT = (1, 5, 25, 50, 75, 95, 99)
#: Bins of times begin with a day, an hour, a minute or a second, whichever is fine enough.
_GRAINS_SECONDS = (86_400, 3_600, 60, 1)

Finder = Callable[[tuple[int | float, ...]], list[tuple[int, int | float]]]


@dataclass(frozen=True, slots=True)
class _Basics:
    """What every kind of column has."""

    name: str
    type: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    blanks: int = 0

    def report(self, **numbers: Any) -> ColumnReport:
        missing = self.nulls + self.blanks
        return ColumnReport(
            name=self.name,
            type=self.type,
            kind=self.kind,
            nulls=self.nulls,
            null_share=share(self.nulls, self.rows),
            blanks=self.blanks,
            missing=missing,
            missing_share=share(missing, self.rows),
            distinct=self.distinct,
            is_unique=self.rows > 0 and self.distinct == self.rows,
            is_constant=self.rows > 1 and self.distinct == 1 and self.nulls == 0,
            **numbers,
        )

    def top(self, values: list[tuple[Shown, int]]) -> tuple[TopValue, ...]:
        return tuple(TopValue(value, count, share(count, self.rows)) for value, count in values)


def describe_column(files: TableFiles, name: str, hashes: RowHashes | None) -> ColumnReport:
    """Every number of one column; its values are mixed into `hashes` on the way, if these are still wanted."""
    data_type = files.type_of(name)
    if pa.types.is_null(data_type):
        return _Basics(name, "null", "null", files.rows, nulls=files.rows, distinct=0).report()
    if is_fixed(data_type):
        return _describe_fixed(files, name, hashes)
    if pa.types.is_decimal(data_type):
        return _describe_wide_decimal(files, name, hashes)
    return _describe_texts(files, name, hashes)


def share(part: int, whole: int) -> float:
    """`part / whole`, and 0 of nothing."""
    return part / whole if whole else 0.0


def _describe_fixed(files: TableFiles, name: str, hashes: RowHashes | None) -> ColumnReport:
    column = files.fixed(name)
    if hashes is not None:
        hashes.add_fixed(column)
    data_type = files.type_of(name)
    counted = count_numbers(column.present)
    kind: Kind = "number"
    if pa.types.is_boolean(data_type):
        kind = "boolean"
    elif pa.types.is_temporal(data_type) and not pa.types.is_duration(data_type):
        kind = "time"
    basics = _Basics(name, str(files.schema.field(name).type), kind, files.rows, column.nulls, counted.distinct)
    if kind == "boolean":
        return _report_boolean(basics, counted)
    if kind == "time":
        return _report_times(basics, counted, data_type)
    return _report_numbers(basics, counted, number_style(data_type), _finder(column))


def _finder(column: FixedColumn) -> Finder:
    return lambda wanted: rows_holding(column.values, column.valid, wanted, OUTLIER_EXAMPLES)


def _describe_wide_decimal(files: TableFiles, name: str, hashes: RowHashes | None) -> ColumnReport:
    """Decimals of more than 18 digits: Python's integers, one for each distinct value."""
    column = encode_column(files, name)
    if hashes is not None:
        hashes.add_ids(column.codes)
    data_type = files.type_of(name)
    units = [int(value.scaleb(data_type.scale, Context(prec=100))) for value in column.dictionary.to_pylist()]
    order = [place for place in sorted(range(len(units)), key=units.__getitem__) if column.counts[place]]
    counted = with_counts(np.array([units[place] for place in order], dtype=object), column.counts[order])
    basics = _Basics(name, str(files.schema.field(name).type), "number", files.rows, column.nulls, counted.distinct)
    return _report_numbers(basics, counted, number_style(data_type), _coded_finder(column, units))


def _coded_finder(column: EncodedColumn, units: list[int]) -> Finder:
    code_of = {value: code for code, value in enumerate(units)}

    def find(wanted: tuple[int | float, ...]) -> list[tuple[int, int | float]]:
        found = rows_holding(column.codes, None, tuple(code_of[int(value)] for value in wanted), OUTLIER_EXAMPLES)
        return [(row, units[int(code)]) for row, code in found]

    return find


def _report_numbers(basics: _Basics, numbers: CountedNumbers, show: NumberStyle, find: Finder) -> ColumnReport:
    specials = {"NaN": numbers.nan, "Infinity": numbers.positive_infinity, "-Infinity": numbers.negative_infinity}
    top = [(show(value), count) for value, count in commonest(numbers)]
    top += [(word, count) for word, count in specials.items() if count]
    place_of_zero = int(np.searchsorted(numbers.values, 0))
    has_zero = place_of_zero < len(numbers.values) and numbers.values[place_of_zero] == 0
    counts: dict[str, Any] = {
        "zeros": int(numbers.counts[place_of_zero]) if has_zero else 0,
        "negatives": numbers.rows_below(place_of_zero) + numbers.negative_infinity,
        "nan": numbers.nan,
        "positive_infinity": numbers.positive_infinity,
        "negative_infinity": numbers.negative_infinity,
        "top_values": basics.top(sorted(top, key=lambda entry: -entry[1])[:TOP_VALUES]),
    }
    if not numbers.total:
        return basics.report(**counts)
    mean, std = mean_and_std(numbers)
    return basics.report(
        **counts,
        **_distribution(numbers, show),
        mean=show.average(mean),
        std=show.average(std),
        outliers=_outliers(numbers, show, find),
    )


def _report_times(basics: _Basics, times: CountedNumbers, data_type: pa.DataType) -> ColumnReport:
    if not times.total:
        return basics.report()
    show = time_style(data_type)
    units = units_a_second(data_type)
    grains = [int(units * seconds) for seconds in _GRAINS_SECONDS if units * seconds >= 1]
    return basics.report(
        **_distribution(times, show, grains),
        span_seconds=float((times.in_order(times.total - 1) - times.in_order(0)) / units),
        top_values=basics.top([(show(value), count) for value, count in commonest(times)]),
    )


def _report_boolean(basics: _Basics, counted: CountedNumbers) -> ColumnReport:
    top = [(value == 1, count) for value, count in commonest(counted)]
    rows = dict(top)
    return basics.report(true=rows.get(True, 0), false=rows.get(False, 0), top_values=basics.top(list(top)))


def _describe_texts(files: TableFiles, name: str, hashes: RowHashes | None) -> ColumnReport:
    counted = count_texts(files, name)
    if hashes is not None:
        hashes.add_ids(counted.ids)
    stored = files.schema.field(name).type
    is_binary = pa.types.is_binary(files.type_of(name))
    kind: Kind = "binary" if is_binary else "other" if is_nested(stored) else "text"
    basics = _Basics(name, str(stored), kind, files.rows, counted.nulls, counted.distinct, counted.blanks)
    return _report_texts(basics, counted, shown_bytes if is_binary else shown_text)


def _report_texts(basics: _Basics, texts: CountedTexts, show: Callable[[bytes], str]) -> ColumnReport:
    lengths = texts.lengths
    return basics.report(
        min=None if texts.minimum is None else show(texts.minimum),
        max=None if texts.maximum is None else show(texts.maximum),
        lengths=lengths and TextLengths(lengths.minimum, lengths.total / (basics.rows - basics.nulls), lengths.maximum),
        top_values=basics.top([(show(value), count) for value, count in texts.top]),
    )


def _distribution(numbers: CountedNumbers, show: Callable[[Number], Shown], grains: Sequence[int] = ()) -> dict[str, Any]:
    edges, counts = histogram(numbers, grains=grains)
    return {
        "min": show(numbers.in_order(0)),
        "max": show(numbers.in_order(numbers.total - 1)),
        "quantiles": {str(percent): show(quantile(numbers, Fraction(percent, 100))) for percent in QUANTILES_PERCENT},
        "histogram": Histogram(tuple(show(edge) for edge in edges), tuple(counts)),
    }


def _outliers(numbers: CountedNumbers, show: NumberStyle, find: Finder) -> Outliers:
    fences = tukey_fences(numbers)
    examples = find(fences.furthest) if fences.count else []
    return Outliers(
        show.fence(fences.lower),
        show.fence(fences.upper),
        fences.count,
        tuple(OutlierExample(row, show(value)) for row, value in examples),
    )

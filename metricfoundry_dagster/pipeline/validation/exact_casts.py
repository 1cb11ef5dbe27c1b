"""Casts that give exactly the same value in another type, or null: nothing is rounded, cut, wrapped or guessed.

A null that was none before marks a value that does not fit; `compile_rules` turns it into a reason. A time stamp
without a zone is UTC, everywhere. Rules that judge values do not belong here.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa

from metricfoundry_dagster.domain.errors import InternalError

if TYPE_CHECKING:
    import polars as pl

_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_FINEST_PER_SECOND = 10**9
#: Whole seconds around 1970 that fit 64 bits of nanoseconds.
_MOST_SECONDS_IN_NS = 9_223_372_035
_DATE_TEXT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME_TEXT = r"^(?<minutes>[0-9]{2}:[0-9]{2})(?::(?<seconds>[0-5][0-9])(?:\.(?<fraction>[0-9]{1,9}))?)?$"
_STAMP_TEXT = (
    r"^(?<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?<minutes>[0-9]{2}:[0-9]{2})(?::(?<seconds>[0-5][0-9])(?:\.(?<fraction>[0-9]{1,9}))?)?"
    r"(?<zone>Z|[+-][0-9]{2}:?[0-5][0-9])?)?$"
)
_STAMP_NAME = re.compile(r"timestamp\[(ms|us|ns)(?:, tz=(.+))?\]")
_DECIMAL_NAME = re.compile(r"decimal128\((\d+), (\d+)\)")


@cache
def arrow_type(name: str) -> pa.DataType:
    """The Arrow type that prints itself as `name`; any type that a contract may ask for."""
    if stamp := _STAMP_NAME.fullmatch(name):
        return pa.timestamp(stamp[1], tz=stamp[2])
    if decimal := _DECIMAL_NAME.fullmatch(name):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return pa.type_for_alias(name)


def polars_type(name: str) -> "pl.DataType":
    """The Polars type that holds all values of an Arrow type; it may hold more (times of day)."""
    import polars as pl  # a warm parent process must not have used Polars before it forks

    return pl.Series(pl.from_arrow(pa.array([], arrow_type(name)))).dtype


def exact_cast(column: "pl.Expr", source: "pl.DataType", target: str) -> "pl.Expr":
    """`column`, of type `source`, as the Arrow type `target`; null where the value has no exact counterpart.

    Text is read as decimal numbers without blanks or separators, `true` and `false`, and ISO 8601 dates, times
    and time stamps. Numbers become numbers of the same value, 0 and 1 booleans, dates midnights. Anything
    becomes text by its usual spelling. Other pairs have no counterpart at all.
    """
    import polars as pl

    goal = polars_type(target)
    if source in (pl.String, pl.Categorical, pl.Enum):
        return _from_text(column.cast(pl.String), target, goal)
    if goal == pl.String:
        return _to_text(column, source)
    if isinstance(goal, pl.Datetime) and source in (pl.Datetime, pl.Date):
        return _to_stamp(*_naive_utc(column, source), target)
    if goal == pl.Date and source == pl.Datetime:
        return _there_and_back(*_naive_utc(column, source), goal)
    if goal == pl.Time and source == pl.Time:
        return _in_unit_of_time(column, target)
    numbers = source.is_numeric() and goal.is_numeric()
    flags = pl.Boolean in (source, goal) and (source.is_integer() or goal.is_integer())
    if source in (pl.Null, goal) or numbers or flags:
        return _there_and_back(column, source, goal)
    return _nothing(column, goal)


def _nothing(column: "pl.Expr", goal: "pl.DataType") -> "pl.Expr":
    """Null in every row."""
    import polars as pl

    return pl.when(column.is_null()).then(pl.lit(None, goal))


def _there_and_back(column: "pl.Expr", source: "pl.DataType", goal: "pl.DataType") -> "pl.Expr":
    import polars as pl

    there = column.cast(goal, strict=False)
    return pl.when(there.cast(source, strict=False) == column).then(there)


def _from_text(text: "pl.Expr", target: str, goal: "pl.DataType") -> "pl.Expr":
    import polars as pl

    if goal == pl.String:
        return text
    if goal == pl.Boolean:
        word = text.str.to_lowercase()
        return pl.when(word == "true").then(pl.lit(value=True)).when(word == "false").then(pl.lit(value=False))
    if isinstance(goal, pl.Datetime):
        return _stamp_from_text(text, target)
    if goal == pl.Date:
        return pl.when(text.str.contains(_DATE_TEXT)).then(text.str.to_date("%Y-%m-%d", strict=False))
    if goal == pl.Time:
        return _time_from_text(text, target)
    number = text.cast(goal, strict=False)
    if isinstance(goal, pl.Decimal):
        return pl.when(text.str.contains(_decimal_text(goal))).then(number)
    return pl.when(number.is_finite()).then(number) if goal.is_float() else number


def _decimal_text(goal: "pl.Decimal") -> str:
    """Digits that fit, so that nothing is rounded; zeros at either end are free."""
    whole, scale = goal.precision - goal.scale, goal.scale
    return rf"^[+-]?(?:0*[0-9]{{1,{max(whole, 1)}}}(?:\.[0-9]{{0,{scale}}}0*)?|\.[0-9]{{1,{max(scale, 1)}}}0*)$"


def _stamp_from_text(text: "pl.Expr", target: str) -> "pl.Expr":
    import polars as pl

    parts = text.str.extract_groups(_STAMP_TEXT).struct
    minutes = pl.concat_str(parts.field("day"), pl.lit(" "), parts.field("minutes").fill_null("00:00"))
    stamp = minutes.str.to_datetime("%Y-%m-%d %H:%M", time_unit="us", strict=False)
    zone = parts.field("zone")
    ahead = zone.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + zone.str.slice(-2).cast(pl.Int64, strict=False)
    ahead = pl.when(zone.str.starts_with("-")).then(-ahead).otherwise(ahead).fill_null(0)
    seconds = stamp.to_physical() // 10**6 - ahead * 60 + parts.field("seconds").cast(pl.Int64).fill_null(0)
    return _counted_stamp(seconds, _nanoseconds(parts.field("fraction")), target)


def _counted_stamp(seconds: "pl.Expr", nanoseconds: "pl.Expr", target: str) -> "pl.Expr":
    """The time stamp so many seconds and nanoseconds, 0 or more, after 1970; null when the unit cannot hold it."""
    import polars as pl

    unit, zone = _unit_and_zone(target)
    step = _FINEST_PER_SECOND // _PER_SECOND[unit]
    fits = nanoseconds % step == 0
    if unit == "ns":
        fits &= seconds.is_between(-_MOST_SECONDS_IN_NS, _MOST_SECONDS_IN_NS)
    count = seconds * _PER_SECOND[unit] + nanoseconds // step
    return _in_zone(pl.when(fits).then(count).cast(pl.Datetime(unit)), zone)


def _to_stamp(naive: "pl.Expr", source: "pl.DataType", target: str) -> "pl.Expr":
    import polars as pl

    unit, zone = _unit_and_zone(target)
    return _in_zone(_there_and_back(naive, source, pl.Datetime(unit)), zone)


def _in_zone(stamp: "pl.Expr", zone: str | None) -> "pl.Expr":
    return stamp.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else stamp


def _naive_utc(column: "pl.Expr", source: "pl.DataType") -> tuple["pl.Expr", "pl.DataType"]:
    """A date as it is, a time stamp in UTC without its zone; and the type of that."""
    import polars as pl

    if not isinstance(source, pl.Datetime):
        return column, source
    naive = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if source.time_zone else column
    return naive, pl.Datetime(source.time_unit)


def _time_from_text(text: "pl.Expr", target: str) -> "pl.Expr":
    import polars as pl

    parts = text.str.extract_groups(_TIME_TEXT).struct
    minutes = parts.field("minutes").str.to_time("%H:%M", strict=False).to_physical()
    seconds = parts.field("seconds").cast(pl.Int64).fill_null(0) * _FINEST_PER_SECOND
    return _in_unit_of_time((minutes + seconds + _nanoseconds(parts.field("fraction"))).cast(pl.Time), target)


def _nanoseconds(fraction: "pl.Expr") -> "pl.Expr":
    import polars as pl

    return fraction.str.pad_end(9, "0").cast(pl.Int64).fill_null(0)


def _in_unit_of_time(column: "pl.Expr", target: str) -> "pl.Expr":
    """Polars holds times of day in nanoseconds, whatever the unit of the Arrow type."""
    import polars as pl

    unit = target.partition("[")[2].rstrip("]")
    return pl.when(column.to_physical() % (_FINEST_PER_SECOND // _PER_SECOND[unit]) == 0).then(column)


def _to_text(column: "pl.Expr", source: "pl.DataType") -> "pl.Expr":
    import polars as pl

    if isinstance(source, pl.Datetime):
        naive, _ = _naive_utc(column, source)
        return naive.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ" if source.time_zone else "%Y-%m-%dT%H:%M:%S%.f")
    if source == pl.Time:
        return column.dt.to_string("%H:%M:%S%.f")
    if source.is_nested() or source in (pl.Binary, pl.Duration):
        return _nothing(column, pl.String())
    return column.cast(pl.String)


def _unit_and_zone(target: str) -> tuple[Literal["ms", "us", "ns"], str | None]:
    stamp = _STAMP_NAME.fullmatch(target)
    if stamp is None:
        raise InternalError("unexpected", f"{target} is no time stamp")
    return cast(Literal["ms", "us", "ns"], stamp[1]), stamp[2]

"""Which column becomes Druid's `__time`, and why. A wrong guess is worse than none: a person's choice is never replaced."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.pipeline.serving.measure_times import MeasuredTable, TimeColumn
from metricfoundry_dagster.pipeline.serving.time_chunks import TimeRange

#: Without a time column every row gets this moment, 2000-01-01.
CONSTANT_TIME_MS = 946_684_800_000
_TELLING_NAME = re.compile(r"time|date", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TimeChoice:
    """The column, None for the constant; the span of its values; and the reasons, the deciding one first."""

    column: str | None
    span: TimeRange
    reasons: tuple[str, ...]


def choose_time_column(table: MeasuredTable, *, asked: str | None, agreed: str | None) -> TimeChoice:
    """Take the column that was asked for, else the one of the contract or recipe (`agreed`), else look for one.

    Looking finds the first timestamp or date column without missing values, one whose name speaks of time or date
    before others. Without any the constant time is taken.

    Raises:
        UserError: `request.invalid` when the column asked for or agreed on is no timestamp or date, or has nulls.
    """
    if asked is not None:
        return _require(table, asked, "it was asked for")
    if agreed is not None:
        return _require(table, agreed, "the contract or recipe names it")
    whole = [time for time in table.times if time.nulls == 0 and time.span]
    passed_over = tuple(f"{time.name!r} was passed over: {_lack(time, table.rows)}" for time in table.times if time not in whole)
    for candidates, reason in ((_telling(whole), "the first whose name speaks of time"), (whole, "the first")):
        if candidates and (span := candidates[0].span):
            chosen = f"{candidates[0].name!r} is the time: {reason} among {len(whole)} columns of times without missing values"
            return TimeChoice(candidates[0].name, span, (chosen, *passed_over))
    none = "there is no time: no timestamp or date column without missing values, so every row gets 2000-01-01"
    return TimeChoice(None, TimeRange(CONSTANT_TIME_MS, CONSTANT_TIME_MS), (none, *passed_over))


def _require(table: MeasuredTable, name: str, reason: str) -> TimeChoice:
    time = next((time for time in table.times if time.name == name), None)
    if time is None:
        type_ = next((column.type for column in table.columns if column.name == name), None)
        lack = f"its type is {type_}, neither timestamp nor date" if type_ else "there is no such column"
        raise UserError("request.invalid", f"{name!r} cannot be the time: {lack}", place=Place(column=name))
    if time.nulls or time.span is None:
        message = f"{name!r} cannot be the time: {_lack(time, table.rows)}"
        raise UserError("request.invalid", message, place=Place(column=name))
    return TimeChoice(name, time.span, (f"{name!r} is the time: {reason}",))


def _telling(times: Sequence[TimeColumn]) -> list[TimeColumn]:
    return [time for time in times if _TELLING_NAME.search(time.name)]


def _lack(time: TimeColumn, rows: int) -> str:
    return f"{time.nulls:,} of {rows:,} values are missing" if rows else "the table has no rows"

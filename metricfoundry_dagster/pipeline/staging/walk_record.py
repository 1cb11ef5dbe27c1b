"""Walks one record quote by quote, exactly, where the quotes are not all in their places.

Slow, so `cut_records.py` comes here only for the records that need it. Each quoted field costs a few binary
searches, however long it is: no text can make this quadratic.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from metricfoundry_dagster.pipeline.staging.find_marks import Marks

_LINE_ENDS = b"\r\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """Text follows a closing quote at `position`."""

    position: int


def walk_record(marks: Marks, start: int) -> int | Fault | None:
    """The last byte of the record at `start`, or its fault; None when the buffer ends before either shows."""
    data, quotes = marks.data, marks.quote_array
    position = start
    while True:
        end = _first_at_or_after(marks.end_array, position)
        number = bisect_left(quotes, position)
        if number == len(quotes) or (end is not None and quotes[number] > end):
            return end
        quote = quotes[number]
        if not marks.opens_field(quote, start):
            position = quote + 1  # in the middle of an unquoted field a quote is text
            continue
        closing = _closing_quote(marks, number)
        if closing is None or closing + 1 == len(data):
            return None
        following = data[closing + 1]
        if following in _LINE_ENDS:
            return _first_at_or_after(marks.end_array, closing + 1)
        if following != marks.rule.delimiter:
            return Fault(closing + 1)
        position = closing + 2


def _closing_quote(marks: Marks, opening_number: int) -> int | None:
    """The quote that closes the field which quote `opening_number` opens: the first one in step that is not doubled."""
    number = opening_number + 1
    closing_number = _first_at_or_after(marks.single_quotes[number & 1], number)
    return None if closing_number is None else marks.quote_array[closing_number]


def _first_at_or_after(ascending: Sequence[int], value: int) -> int | None:
    number = bisect_left(ascending, value)
    return ascending[number] if number < len(ascending) else None

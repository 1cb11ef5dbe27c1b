"""Where the quotes and line ends of a piece of text lie, found by numpy in a few looks over the bytes.

Most text is quoted as it should be: every opening quote at the start of a field, every closing one at its end.
Then the number of quotes before a line end tells whether it ends a record. `Marks` proves that, and names the
first place from which it does not hold; `walk_record.py` goes on from there.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]

_LF, _CR, _SPACE = 10, 13, 32
_PIECE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class MarkRule:
    """Which bytes are marks.

    A quote behind an odd number of `escape` is text; with `skip_spaces` blanks may stand before one that opens a field.
    """

    delimiter: int | None
    quote: int | None
    escape: int | None = None
    skip_spaces: bool = False


class Marks:
    """The marks of one buffer. `final` says that nothing follows it; then it ends with a line end."""

    def __init__(self, data: bytes, rule: MarkRule, *, final: bool) -> None:
        self.data, self.rule, self.final = data, rule, final
        self.bytes = np.frombuffer(data, np.uint8)
        self.line_ends = self._find_line_ends()
        self.quotes = self.quotes_of(data)
        self._misplaced: dict[int, Positions] = {}

    def clean_ends(self, start: int) -> tuple[Positions, bool]:
        """Line ends that end records or are blank, from the record start `start` on, and whether a quote stopped the search.

        Without a misplaced quote they reach to the end of the buffer, otherwise to the record that holds it.
        """
        first_quote = int(np.searchsorted(self.quotes, start))
        stop = self._first_misplaced(first_quote)
        low, high = np.searchsorted(self.line_ends, (start, len(self.data) if stop is None else stop))
        ends = self.line_ends[low:high]
        if first_quote < len(self.quotes):
            quotes_before = np.searchsorted(self.quotes, ends) - first_quote
            ends = ends[(quotes_before & 1) == 0]
        return ends, stop is not None

    def line_end(self, start: int) -> int | None:
        """The last byte of the physical line at `start`; None when its end is not in the buffer."""
        number = self.lines_before(start)
        return self.end_array[number] if number < len(self.end_array) else None

    def lines_before(self, position: int) -> int:
        """How many lines end before a position."""
        return bisect_left(self.end_array, position)

    def quotes_of(self, text: bytes | memoryview) -> Positions:
        """Where the quotes lie in some text."""
        if self.rule.quote is None:
            return _NOTHING
        data = np.frombuffer(text, np.uint8)
        quotes = _positions(data, self.rule.quote)
        return quotes if self.rule.escape is None else quotes[~_escaped(data, quotes, self.rule.escape)]

    def opens_field(self, quote: int, record_start: int) -> bool:
        """Whether a quote of the record that starts there is the first of its field."""
        before = quote
        while self.rule.skip_spaces and before > record_start and self.data[before - 1] == _SPACE:
            before -= 1
        return before == record_start or self.data[before - 1] == self.rule.delimiter

    def quotes_between(self, start: int, stop: int) -> tuple[Positions, bool]:
        """The quotes of whole records, counted from `start`, and whether all are in their places."""
        low, high = np.searchsorted(self.quotes, (start, stop)).tolist()
        misplaced = self._first_misplaced(low)
        return self.quotes[low:high] - start, misplaced is None or misplaced >= stop

    def leave_out_inner_quotes(self) -> None:
        """Forget the quotes in lines that open no field, such as inch marks, if then all others are in their places.

        The buffer must start at a record. Such a quote is text when its line starts outside quotes.
        """
        if self._first_misplaced(0) is None:
            return
        opens = self._at_field_start(self.quotes)
        lines = np.searchsorted(self.line_ends, self.quotes)
        inner = ~np.isin(lines, lines[opens])
        others = self.quotes[~inner]
        starts = np.concatenate(([0], self.line_ends + 1))[lines[inner]]
        if (np.searchsorted(others, starts) & 1).any():
            return
        if not len(self._find_misplaced(others, 0)):
            self.quotes, self._misplaced = others, {}

    @cached_property
    def end_array(self) -> Sequence[int]:
        """`line_ends` for plain Python."""
        return array("q", self.line_ends.tobytes())

    @cached_property
    def quote_array(self) -> Sequence[int]:
        """`quotes` for plain Python."""
        return array("q", self.quotes.tobytes())

    @cached_property
    def single_quotes(self) -> tuple[Sequence[int], Sequence[int]]:
        """Numbers of the quotes that no quote follows directly: the even ones, the odd ones."""
        single = np.flatnonzero(~_doubled(self.quotes))
        return array("q", single[single % 2 == 0].tobytes()), array("q", single[single % 2 == 1].tobytes())

    def _find_line_ends(self) -> Positions:
        line_feeds = _positions(self.bytes, _LF)
        if b"\r" not in self.data:
            return line_feeds
        returns = _positions(self.bytes, _CR)
        known = returns if self.final else returns[returns < len(self.data) - 1]
        following = self.bytes[np.minimum(known + 1, len(self.data) - 1)]
        lone = known[following != _LF]
        return np.sort(np.concatenate((line_feeds, lone))) if len(lone) else line_feeds

    @cached_property
    def _separates(self) -> npt.NDArray[np.bool_]:
        """For each byte whether it ends a field."""
        separates = np.zeros(256, np.bool_)
        separates[[_LF, _CR] + ([self.rule.delimiter] if self.rule.delimiter is not None else [])] = True
        return separates

    def _first_misplaced(self, first_quote: int) -> int | None:
        """The position of the first quote that is not where it must be when quote `first_quote` opens a field."""
        if first_quote == len(self.quotes):
            return None
        phase = first_quote & 1
        if phase not in self._misplaced:
            self._misplaced[phase] = self._find_misplaced(self.quotes, phase)
        misplaced = self._misplaced[phase]
        number = int(np.searchsorted(misplaced, first_quote))
        return int(self.quotes[misplaced[number]]) if number < len(misplaced) else None

    def _find_misplaced(self, quotes: Positions, phase: int) -> Positions:
        """Numbers of misplaced quotes when those of parity `phase` open and the others close.

        A doubled quote inside a field reads as one that closes and one that opens again at once.
        """
        bad = np.empty(len(quotes), np.bool_)
        opening, closing = quotes[phase::2], quotes[1 - phase :: 2]
        doubled = _doubled(quotes)
        reopens = np.concatenate(([False], doubled[:-1]))[phase::2]
        bad[phase::2] = ~(self._at_field_start(opening) | reopens)
        last = len(self.data) - 1
        at_field_end = self._separates[self.bytes[np.minimum(closing + 1, last)]] | (closing == last)
        bad[1 - phase :: 2] = ~(at_field_end | doubled[1 - phase :: 2])
        return np.flatnonzero(bad)

    def _at_field_start(self, quotes: Positions) -> npt.NDArray[np.bool_]:
        before = quotes - 1
        on_space = self._on_space(before)
        while on_space.any():
            before = before - on_space
            on_space = self._on_space(before)
        at_start: npt.NDArray[np.bool_] = self._separates[self.bytes[np.maximum(before, 0)]] | (before < 0)
        return at_start

    def _on_space(self, positions: Positions) -> npt.NDArray[np.bool_]:
        if not self.rule.skip_spaces:
            return np.zeros(len(positions), np.bool_)
        on_space: npt.NDArray[np.bool_] = (positions >= 0) & (self.bytes[np.maximum(positions, 0)] == _SPACE)
        return on_space


def _escaped(data: npt.NDArray[np.uint8], quotes: Positions, escape: int) -> npt.NDArray[np.bool_]:
    """For each quote whether an odd number of escapes stands before it."""
    odd = np.zeros(len(quotes), np.bool_)
    before = quotes - 1
    on_escape = (before >= 0) & (data[np.maximum(before, 0)] == escape)
    while on_escape.any():
        odd ^= on_escape
        before = before - on_escape
        on_escape &= (before >= 0) & (data[np.maximum(before, 0)] == escape)
    return odd


def _doubled(quotes: Positions) -> npt.NDArray[np.bool_]:
    """For each quote whether the next byte is a quote."""
    doubled = np.zeros(len(quotes), np.bool_)
    np.equal(np.diff(quotes), 1, out=doubled[:-1])
    return doubled


def _positions(data: npt.NDArray[np.uint8], byte: int) -> Positions:
    """Where a byte lies, looked for in pieces that stay in the processor's cache."""
    starts = range(0, len(data), _PIECE_BYTES)
    return np.concatenate([_NOTHING, *(np.flatnonzero(data[start : start + _PIECE_BYTES] == byte) + start for start in starts)])


_NOTHING: Positions = np.empty(0, np.int64)

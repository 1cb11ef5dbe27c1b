r"""Cuts a stream of delimited text into blocks of whole records, and counts the records by itself.

This count stands beside every parser: what a parser made of a block must add up to it. No parser feeds it, and
nothing here looks at values. What cannot be a record is put aside line by line, with a reason:

    a quoted field that is not closed     its first physical line is rejected, reading resumes at the next line
    text after a closing quote            the same
    a record longer than the bound        the same

A record ends at \n, \r\n or a lone \r outside quotes; a line without any byte is no record. A quote opens a
field only at its start; elsewhere in an unquoted field it is text. How the bytes come in chunks changes nothing.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from operator import attrgetter

import numpy as np

from metricfoundry_dagster.pipeline.staging.find_marks import MarkRule, Marks, Positions
from metricfoundry_dagster.pipeline.staging.rejects import Reject
from metricfoundry_dagster.pipeline.staging.split_fields import FieldRule
from metricfoundry_dagster.pipeline.staging.walk_record import Fault, walk_record

_CR = 13
#: Records walked one by one after a misplaced quote, before the whole rest is tried again: they come in crowds.
_WALKED_RECORDS = 200
#: A block has no more records, and not many more rejects: readers keep up to some hundred bytes for each.
_MANY_RECORDS = 200_000


class Block:
    """Some records of one buffer, and what was rejected between them.

    `starts[i]:stops[i]` is record i with its line end, in the buffer; blank lines and rejects lie in no record.
    """

    def __init__(
        self, marks: Marks, starts: Positions, stops: Positions, *, first_line: int, rejects: tuple[Reject, ...]
    ) -> None:
        """`first_line` is the physical line, from 1, at which the buffer starts."""
        self.starts, self.stops, self.rejects = starts, stops, rejects
        self._marks, self._first_line = marks, first_line

    @property
    def record_count(self) -> int:
        """Records; the rejects are not among them."""
        return len(self.starts)

    def text(self) -> bytes | memoryview:
        """All records in one piece, each with its line end."""
        if not self.record_count:
            return b""
        data = memoryview(self._marks.data)
        if not len(self._breaks):
            return data[self.starts[0] : self.stops[-1]]
        firsts = self.starts[np.concatenate(([0], self._breaks + 1))].tolist()
        lasts = self.stops[np.concatenate((self._breaks, [self.record_count - 1]))].tolist()
        return b"".join([data[start:stop] for start, stop in zip(firsts, lasts, strict=True)])

    def text_starts(self) -> Positions:
        """Where each record starts in `text`."""
        lengths = self.stops - self.starts
        starts: Positions = np.cumsum(lengths) - lengths
        return starts

    def text_lasts(self) -> Positions:
        """Where the last byte of each record, before its line end, lies in `text`."""
        lasts: Positions = self.text_starts() + (self.stops - self.starts) - 2
        lasts -= np.frombuffer(self.text(), np.uint8)[lasts] == _CR
        return lasts

    def text_quotes(self) -> tuple[Positions, bool]:
        """Where the quotes lie in `text`, and whether it is sure that they open and close fields in turn."""
        if len(self._breaks) or not self.record_count:
            return self._marks.quotes_of(self.text()), False
        return self._marks.quotes_between(int(self.starts[0]), int(self.stops[-1]))

    def record(self, number: int) -> bytes:
        """The bytes of one record, numbered from 0, without its line end."""
        raw = self._marks.data[self.starts[number] : self.stops[number]]
        return raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]

    def records(self) -> list[bytes]:
        """All of them."""
        return [self.record(number) for number in range(self.record_count)]

    def raw(self, number: int) -> bytes:
        """The same, as it came."""
        return self.record(number)

    def line(self, number: int) -> int:
        """The physical line of the file on which one record starts, from 1."""
        return self._first_line + self._marks.lines_before(int(self.starts[number]))

    def lines(self) -> Positions:
        """The physical lines of the file on which the records start, from 1, rising."""
        if not self.record_count:
            return self.starts
        ends = self._marks.line_ends
        low, high = np.searchsorted(ends, (self.starts[0], self.stops[-1])).tolist()
        if high - low == self.record_count and not len(self._breaks):
            return np.arange(self._first_line + low, self._first_line + high)
        lines: Positions = self._first_line + np.searchsorted(ends, self.starts)
        return lines

    @cached_property
    def _breaks(self) -> Positions:
        """Records behind which something was left out."""
        return np.flatnonzero(self.starts[1:] != self.stops[:-1])

    def without(self, numbers: Iterable[int]) -> "Block":
        """The same block without some of its records."""
        keep = np.ones(self.record_count, np.bool_)
        keep[list(numbers)] = False
        return Block(self._marks, self.starts[keep], self.stops[keep], first_line=self._first_line, rejects=self.rejects)

    def piece(self, start: int, stop: int, rejects: tuple[Reject, ...] = ()) -> "Block":
        """A block of some records of this one, in a row, with rejects of its own."""
        return Block(self._marks, self.starts[start:stop], self.stops[start:stop], first_line=self._first_line, rejects=rejects)

    def first(self, count: int) -> "Block":
        """A block with at most the first records of this one; this one, if it has no more."""
        if self.record_count <= count:
            return self
        return self.piece(0, count, self.rejects)


def mark_rule(rule: FieldRule) -> MarkRule:
    """The marks of a dialect as bytes."""
    quote, escape = (ord(mark) if mark else None for mark in (rule.quote, rule.escape))
    return MarkRule(ord(rule.delimiter), quote, escape, rule.skip_spaces)


class RecordCutter:
    """Takes chunks of bytes one after another and gives a block for each; what is left over waits for the next."""

    def __init__(self, rule: FieldRule | None, *, max_record_bytes: int, first_line: int = 1) -> None:
        """Without a rule every line is a record. `first_line` is the physical line at which the chunks begin."""
        self._rule = _NO_MARKS if rule is None else mark_rule(rule)
        self._max_bytes = max_record_bytes
        self._pending, self._line, self._dropping = b"", first_line, False

    def blocks(self, chunks: Iterable[tuple[bytes, bool]]) -> Iterator[Block]:
        """The whole records of each chunk, in one block or, when they are very many, in several.

        The chunks come with whether they are the last.
        """
        for chunk, final in chunks:
            yield from self._cut(chunk, final=final)

    def _cut(self, chunk: bytes, *, final: bool) -> Iterator[Block]:
        data = self._pending + chunk if self._pending else chunk
        if final and data and data[-1:] not in b"\r\n":
            data += b"\n"
        marks = Marks(data, self._rule, final=final)
        if not self._dropping:
            marks.leave_out_inner_quotes()
        cut = _Cut(marks, self._max_bytes, self._line, self._resume(marks))
        unfinished = True
        while unfinished:
            unfinished = cut.run()
            yield from _pieces(cut.take_block())
        self._dropping = cut.dropping
        self._pending = data[cut.position :]
        if cut.dropping and not final and data.endswith(b"\r"):
            self._pending = b"\r"  # whether it ends the line shows with the next byte
        self._line += marks.lines_before(cut.position)

    def _resume(self, marks: Marks) -> int | None:
        """Where to begin: behind the end of a line that is being dropped; None when it has not ended yet."""
        if not self._dropping:
            return 0
        end = marks.line_end(0)
        return None if end is None else end + 1


class _Cut:
    """One buffer on its way to a block. `position` is where the rest begins, which is no record yet."""

    def __init__(self, marks: Marks, max_bytes: int, first_line: int, start: int | None) -> None:
        """`start` is where the first record starts; None when all of the data belongs to a line that is dropped."""
        self._size = len(marks.data)
        self.position, self.dropping = (self._size, True) if start is None else (start, False)
        self._marks, self._max_bytes, self._first_line = marks, max_bytes, first_line
        self._starts: list[Positions] = []
        self._stops: list[Positions] = []
        self._walked = array("q")  # starts and stops in turn
        self._rejects: list[Reject] = []

    def run(self) -> bool:
        """Cut as far as the data allows, or until there are many rejects: then True, and there is more to do."""
        going = True
        while going and self.position < self._size and not self.dropping:
            if len(self._rejects) >= _MANY_RECORDS:
                return True
            misplaced_quote = self._take_clean()
            if self.position < self._size and not self.dropping:
                going = self._walk() if misplaced_quote else self._reject_rest()
        return False

    def take_block(self) -> Block:
        """What was cut since the last time."""
        self._take_walked()
        starts = np.concatenate([_NOTHING, *self._starts])
        stops = np.concatenate([_NOTHING, *self._stops])
        lengths = stops - starts
        if len(lengths) and lengths.min() <= 2:
            filled = (lengths > 2) | ((lengths == 2) & (self._marks.bytes[starts] != _CR))
            starts, stops = starts[filled], stops[filled]
        block = Block(self._marks, starts, stops, first_line=self._first_line, rejects=tuple(self._rejects))
        self._starts, self._stops, self._rejects = [], [], []
        return block

    def _take_clean(self) -> bool:
        """Take the records that end before any misplaced quote; whether there is one."""
        ends, misplaced_quote = self._marks.clean_ends(self.position)
        starts = np.concatenate(([self.position], ends[:-1] + 1))[: len(ends)]
        too_long = np.flatnonzero(ends - starts >= self._max_bytes)
        count = int(too_long[0]) if len(too_long) else len(ends)
        if count:
            self._take_walked()
            self._starts.append(starts[:count])
            self._stops.append(ends[:count] + 1)
            self.position = int(ends[count - 1]) + 1
        if len(too_long):
            self._reject("csv.record_too_long")
        return misplaced_quote or len(too_long) > 0

    def _walk(self) -> bool:
        """Go on record by record for a while; False when the data ends in the middle of one."""
        for _ in range(_WALKED_RECORDS):
            if self.position >= self._size:
                break
            outcome = walk_record(self._marks, self.position)
            if outcome is None:
                return self._reject_rest()
            if isinstance(outcome, Fault):
                if not self._reject_fault(outcome.position):
                    return False
            elif outcome - self.position >= self._max_bytes:
                self._reject("csv.record_too_long")
            else:
                self._walked.extend((self.position, outcome + 1))
                self.position = outcome + 1
        return True

    def _take_walked(self) -> None:
        """Put the records that were walked behind those before them."""
        if self._walked:
            pairs = np.array(self._walked, np.int64)
            self._starts.append(pairs[::2])
            self._stops.append(pairs[1::2])
            self._walked = array("q")

    def _reject_fault(self, position: int) -> bool:
        """Reject for text after a closing quote; one on a later line was meant to open a field, so the first is open.

        False to wait for the end of the line, so that all of it is shown.
        """
        end = self._marks.line_end(self.position)
        if end is None:
            return self._reject_rest()
        if position - self.position > self._max_bytes or end - self.position >= self._max_bytes:
            return self._reject("csv.record_too_long")
        return self._reject("csv.malformed_quote" if end >= position else "csv.unterminated_quote")

    def _reject_rest(self) -> bool:
        """Judge what did not end with the data: False to wait for more of it, True when its first line was rejected."""
        if self._size - self.position > self._max_bytes:
            return self._reject("csv.record_too_long")
        return self._marks.final and self._reject("csv.unterminated_quote")

    def _reject(self, code: str) -> bool:
        """Reject the physical line at `position`; False when its end is not there yet: then all up to it is dropped."""
        start, end = self.position, self._marks.line_end(self.position)
        self.position, self.dropping = (self._size, True) if end is None else (end + 1, False)
        raw = self._marks.data[start : min(self.position, start + self._max_bytes)].rstrip(b"\r\n")
        line = self._first_line + self._marks.lines_before(start)
        reason = _REASONS[code].format(max_bytes=self._max_bytes)
        self._rejects.append(Reject(line, code, reason, raw))
        return end is not None


def _pieces(block: Block) -> Iterator[Block]:
    """The block in pieces that bound what a reader keeps for each record; rejects stay before the records that follow them."""
    rejects = block.rejects
    for start in range(0, max(block.record_count, 1), _MANY_RECORDS):
        stop = start + _MANY_RECORDS
        count = len(rejects)
        if stop < block.record_count:
            count = bisect_left(rejects, block.line(stop), key=attrgetter("line"))
        yield block.piece(start, stop, rejects[:count])
        rejects = rejects[count:]


_NOTHING: Positions = np.empty(0, np.int64)
_NO_MARKS = MarkRule(None, None)
_REASONS = {
    "csv.record_too_long": "the record does not end within {max_bytes} bytes",
    "csv.malformed_quote": "text follows a closing quote",
    "csv.unterminated_quote": "a field that is opened by a quote on this line is never closed",
}

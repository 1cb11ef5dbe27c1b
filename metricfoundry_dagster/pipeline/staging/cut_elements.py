"""Cuts a list of a JSON document into blocks of its elements, and counts them by itself.

This count stands beside the parser, which gets no element that was not counted here. What an element holds is not looked
at: brackets, strings and commas decide where it ends. Between elements nothing may be but one comma and blanks; otherwise
nobody knows what the elements are, and the document is refused. A single element that is longer than the bound is a reject.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.pipeline.staging.find_json_marks import BLANKS, JsonMarks, JsonState, positions
from metricfoundry_dagster.pipeline.staging.find_marks import Positions
from metricfoundry_dagster.pipeline.staging.rejects import Reject

_COMMA, _SPACE = ord(","), ord(" ")
_IS_BLANK = np.zeros(256, np.bool_)
_IS_BLANK[list(BLANKS)] = True
_LONGEST_GAP = 64
#: A block has no more elements: readers keep up to some hundred bytes for each.
_MANY_ELEMENTS = 200_000


@dataclass(frozen=True, slots=True)
class ElementBlock:
    """Some elements of a list: `data[starts[i]:ends[i]]`, with blanks between them. `first_lines` are their physical lines.

    `raws` are the elements as they came when `data` was made from them; `parents` the numbers of the rows, from 1, that they
    belong to.
    """

    data: bytes | memoryview
    starts: Positions
    ends: Positions
    first_lines: Positions
    rejects: tuple[Reject, ...] = ()
    raws: Sequence[bytes] | None = None
    parents: Positions | None = None

    @property
    def record_count(self) -> int:
        """Elements; the rejects are not among them."""
        return len(self.starts)

    def text(self) -> bytes | memoryview:
        """All elements, with blanks between them."""
        return memoryview(self.data)[self.starts[0] : self.ends[-1]] if len(self.starts) else b""

    def text_starts(self) -> Positions:
        """Where each element starts in `text`."""
        return self.starts - self.starts[:1]

    def text_lasts(self) -> Positions:
        """Where the last byte of each element lies in `text`."""
        return self.ends - self.starts[:1] - 1

    def record(self, number: int) -> bytes:
        """The bytes of one element, numbered from 0."""
        return bytes(self.data[self.starts[number] : self.ends[number]])

    def records(self) -> list[bytes]:
        """All of them."""
        data = bytes(self.data)
        return [data[start:end] for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]

    def raw(self, number: int) -> bytes:
        """The same, as they came."""
        return self.record(number) if self.raws is None else self.raws[number]

    def line(self, number: int) -> int:
        """The physical line on which one element starts, from 1."""
        return int(self.first_lines[number])

    def lines(self) -> Positions | None:
        """The physical lines on which the elements start; None when they came out of other rows."""
        return self.first_lines if self.parents is None else None

    def first(self, count: int) -> Self:
        """A block with at most the first elements of this one."""
        if self.record_count <= count:
            return self
        return self.piece(0, count, self.rejects)

    def piece(self, start: int, stop: int, rejects: tuple[Reject, ...] = ()) -> Self:
        """A block of some elements of this one, in a row, with rejects of its own."""
        raws = None if self.raws is None else self.raws[start:stop]
        parents = None if self.parents is None else self.parents[start:stop]
        starts, ends, lines = self.starts[start:stop], self.ends[start:stop], self.first_lines[start:stop]
        return replace(self, starts=starts, ends=ends, first_lines=lines, rejects=rejects, raws=raws, parents=parents)


def block_of(
    records: Sequence[bytes],
    lines: Sequence[int] | Positions,
    *,
    rejects: tuple[Reject, ...] = (),
    raws: Sequence[bytes] | None = None,
    parents: Positions | None = None,
) -> ElementBlock:
    """A block of records that were made of others."""
    lengths = np.fromiter(map(len, records), np.int64, len(records))
    ends = np.cumsum(lengths + 1) - 1
    numbers = np.asarray(lines, np.int64)
    return ElementBlock(b"\n".join(records), ends - lengths, ends, numbers, rejects, raws, parents)


@dataclass(slots=True)
class _Cut:
    """Complete elements of one chunk. `commas` follow them; behind `rest` begins what is not complete."""

    starts: Positions
    ends: Positions
    commas: Positions
    rest: int


class ElementCutter:
    """Takes the bytes of a list from behind its `[` on. `first_line` is the line there, from 1."""

    def __init__(self, *, max_record_bytes: int, filename: str, first_line: int = 1) -> None:
        self._max_bytes, self._filename, self._line = max_record_bytes, filename, first_line
        self._pending, self._state = b"", JsonState(1)
        self._ended = self._after_comma = False
        self._dropped: Reject | None = None

    def blocks(self, chunks: Iterable[tuple[bytes, bool]]) -> Iterator[ElementBlock]:
        """The whole elements of each chunk, in one block or several.

        Raises:
            UserError: `json.invalid` when something else than one comma is between two elements or anything behind the list,
                `json.truncated` when it does not end.
        """
        held: list[bytes] = []
        size = 0
        for chunk, final in chunks:
            held.append(chunk)
            size += len(chunk)
            if size >= len(self._pending) or final:  # so that what waits is looked at a bounded number of times
                data = b"".join((self._pending, *held))
                held, size = [], 0
                yield from self._take(data)
        if not self._ended:
            message = "the document ends in the middle of a list: it was cut, or a quote or bracket is not closed"
            raise UserError("json.truncated", message, place=Place(file=self._filename, line=self._line))

    def _take(self, data: bytes) -> Iterator[ElementBlock]:
        if self._ended:
            self._require_blank(data, 0)
            self._line += data.count(b"\n")
            return
        marks = JsonMarks(data, self._state)
        end = marks.list_end()
        stop = len(data) if end is None else end[0]
        if end is not None and data[stop : stop + 1] != b"]":
            raise self._invalid("a list is closed by a brace", data, stop)
        cut = self._quick_cut(marks, end) or self._cut(marks, stop, ended=end is not None)
        line_ends = positions(marks.bytes, ord("\n"))
        block = self._block(marks, cut, self._line + np.searchsorted(line_ends, cut.starts))
        self._ended = end is not None
        self._after_comma = self._after_comma or len(cut.commas) > 0
        if self._ended:
            self._require_blank(data, stop + 1)
            self._line += len(line_ends)
        else:
            self._keep(data, cut.rest, marks.end, line_ends)
        for start in range(0, max(block.record_count, 1), _MANY_ELEMENTS):
            yield block.piece(start, start + _MANY_ELEMENTS, block.rejects if start == 0 else ())

    def _keep(self, data: bytes, rest: int, state: JsonState, line_ends: Positions) -> None:
        """Remember what is not complete, or, when it is too long for that, only where in it we are."""
        waiting = b"" if self._dropped is not None else data[rest:].lstrip(BLANKS)
        lines_before = int(np.searchsorted(line_ends, len(data) - len(waiting)))
        if self._dropped is None and len(waiting) > self._max_bytes:
            self._dropped = self._too_long(self._line + lines_before, waiting)
        if self._dropped is not None:
            self._pending, self._state = b"", state
            self._line += len(line_ends)
        else:
            self._pending, self._state = waiting, JsonState(1)
            self._line += lines_before

    def _block(self, marks: JsonMarks, cut: _Cut, lines: Positions) -> ElementBlock:
        """The elements, the commas between them blanked, and those that are too long put aside."""
        rejects = []
        starts, ends = cut.starts, cut.ends
        if self._dropped is not None and len(starts):
            rejects.append(self._dropped)
            self._dropped = None
            starts, ends, lines = starts[1:], ends[1:], lines[1:]
        text = np.array(marks.bytes)
        text[cut.commas] = _SPACE
        long = np.flatnonzero(ends - starts > self._max_bytes)
        for number in long.tolist():
            start = int(starts[number])
            rejects.append(self._too_long(int(lines[number]), marks.data[start : start + self._max_bytes]))
            text[start : ends[number]] = _SPACE
        if len(long):
            starts, ends, lines = np.delete(starts, long), np.delete(ends, long), np.delete(lines, long)
        return ElementBlock(text.data, starts, ends, lines, tuple(rejects))

    def _quick_cut(self, marks: JsonMarks, end: tuple[int, int] | None) -> _Cut | None:
        """The elements when all of them are objects or lists; None when that does not suffice."""
        if self._dropped is not None:
            return None
        data, count = marks.data, len(marks.brackets) if end is None else end[1]
        brackets, depths, opens = marks.brackets[:count], marks.depths[:count], marks.opens[:count]
        begins, closes = brackets[opens & (depths == 2)], brackets[~opens & (depths == 1)]
        if not len(closes) or data[: begins[0]].strip(BLANKS):
            return None
        commas = _lone_commas(marks.bytes, closes[: len(begins) - 1] + 1, begins[1:])
        if commas is None:
            return None
        whole = len(closes)
        if whole == len(begins):
            tail = data[closes[-1] + 1 : len(data) if end is None else end[0]].strip(BLANKS)
            if tail == b"," and end is None:
                commas = np.append(commas, data.index(b",", closes[-1]))
            elif tail:
                return None
            elif end is None:
                whole -= 1  # its comma is to come
        rest = int(begins[whole]) if whole < len(begins) else len(data)
        return _Cut(begins[:whole], closes[:whole] + 1, commas, rest)

    def _cut(self, marks: JsonMarks, stop: int, *, ended: bool) -> _Cut:
        """The elements whatever they are: what lies between the commas of the list."""
        commas = marks.commas(1, stop)
        bounds = np.concatenate((commas, [stop])) if ended else commas
        begins = np.concatenate(([0], commas + 1))[: len(bounds)]
        starts, ends = _trimmed(marks.bytes, begins, bounds)
        if self._dropped is not None and len(starts):
            starts[0], ends[0] = begins[0], max(bounds[0], begins[0] + 1)  # the end of what is dropped is no empty element
        empty = np.flatnonzero(ends <= starts)
        if ended and len(bounds) == 1 and len(empty) and not self._after_comma:
            return _Cut(starts[:0], ends[:0], commas, stop)
        if len(empty):
            raise self._invalid("there is no value before or behind a comma", marks.data, int(starts[empty[0]]))
        return _Cut(starts, ends, commas, stop if ended else int(commas[-1]) + 1 if len(commas) else 0)

    def _require_blank(self, data: bytes, start: int) -> None:
        if data[start:].strip(BLANKS):
            raise self._invalid("something follows the end of the document's list", data, start)

    def _too_long(self, line: int, raw: bytes) -> Reject:
        return Reject(
            line, "json.element_too_long", f"the element is longer than {self._max_bytes} bytes", raw[: self._max_bytes]
        )

    def _invalid(self, message: str, data: bytes, position: int) -> UserError:
        line = self._line + (0 if self._ended else data.count(b"\n", 0, position))
        return UserError("json.invalid", message, place=Place(file=self._filename, line=line))


def _lone_commas(data: npt.NDArray[np.uint8], begins: Positions, stops: Positions) -> Positions | None:
    """The one comma of each gap; None unless each has one and blanks beside it, and is short."""
    lengths = stops - begins
    if len(lengths) and (lengths.min() < 1 or lengths.max() > _LONGEST_GAP):
        return None
    commas = np.full(len(begins), -1, np.int64)
    for offset in range(int(lengths.max()) if len(lengths) else 0):
        longer = slice(None) if lengths.min() > offset else np.flatnonzero(lengths > offset)
        places = begins[longer] + offset
        found = data[places]
        is_comma = found == _COMMA
        if not (is_comma | _IS_BLANK[found]).all() or (is_comma & (commas[longer] >= 0)).any():
            return None
        commas[longer] = np.where(is_comma, places, commas[longer])
    return commas if not len(commas) or commas.min() >= 0 else None


def _trimmed(data: npt.NDArray[np.uint8], begins: Positions, stops: Positions) -> tuple[Positions, Positions]:
    """The same pieces without the blanks around them."""
    starts, ends = begins.copy(), stops.copy()
    last = max(len(data) - 1, 0)
    for _ in range(_LONGEST_GAP):
        blank = (starts < ends) & _IS_BLANK[data[np.minimum(starts, last)]]
        if not blank.any():
            break
        starts += blank
    for _ in range(_LONGEST_GAP):
        blank = (starts < ends) & _IS_BLANK[data[np.maximum(ends - 1, 0)]]
        if not blank.any():
            break
        ends -= blank
    doubtful = (starts < ends) & (_IS_BLANK[data[np.minimum(starts, last)]] | _IS_BLANK[data[np.maximum(ends - 1, 0)]])
    for number in np.flatnonzero(doubtful).tolist():
        piece = data[starts[number] : ends[number]].tobytes()
        bare = piece.lstrip(BLANKS)
        starts[number] += len(piece) - len(bare)
        ends[number] = starts[number] + len(bare.rstrip(BLANKS))
    return starts, ends

"""Where the brackets of JSON lie outside its strings, and how deep each leads, found by numpy in a few looks over the bytes.

Nothing here parses: a piece between two marks may still be no JSON. What is found in one chunk of a document goes on in the
next from the state in which the chunk ended.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from metricfoundry_dagster.pipeline.staging.find_marks import Positions

BLANKS = b" \t\r\n"
_QUOTE, _BACKSLASH, _COMMA = b'"\\,'
#: With 0x20 in it `[` is `{` and `]` is `}`.
_OPEN, _CLOSE, _CASE = 0x7B, 0x7D, 0x20
_PIECE_BYTES = 128 * 1024
_WORD_BITS = 64


@dataclass(frozen=True, slots=True)
class JsonState:
    """Between two bytes: how many brackets are open, whether a string is, and whether a backslash of it takes the next byte."""

    depth: int
    in_string: bool = False
    escaped: bool = False


@dataclass(slots=True)
class JsonMarks:
    """The marks of one chunk that begins in `state`. `depths[i]` is the depth behind `brackets[i]`."""

    data: bytes
    state: JsonState
    bytes: npt.NDArray[np.uint8] = field(init=False)
    brackets: Positions = field(init=False)
    depths: Positions = field(init=False)
    opens: npt.NDArray[np.bool_] = field(init=False)
    end: JsonState = field(init=False)
    _strings: npt.NDArray[np.uint64] = field(init=False)

    def __post_init__(self) -> None:
        """Look over the bytes."""
        self.bytes = np.frombuffer(self.data, np.uint8)
        quotes, escaped = self._find_quotes()
        self._strings, in_string = _strings(quotes, begins_inside=self.state.in_string)
        self.brackets = self._outside(_bracket_positions(self.bytes))
        self.opens = (self.bytes[self.brackets] | _CASE) == _OPEN
        self.depths = self.state.depth + np.cumsum(np.where(self.opens, 1, -1))
        self.end = JsonState(int(self.depths[-1]) if len(self.depths) else self.state.depth, in_string, escaped)

    def list_end(self) -> tuple[int, int] | None:
        """The position and the number of the bracket that leads to depth 0, if there is one."""
        closing = self.depths == 0
        number = int(closing.argmax()) if len(closing) else 0
        return (int(self.brackets[number]), number) if len(closing) and closing[number] else None

    def commas(self, depth: int, stop: int) -> Positions:
        """The commas before `stop` that lie outside strings at a depth."""
        if self.state.depth != depth and not (self.depths == depth).any():
            return _NOTHING
        commas = positions(self.bytes[:stop], _COMMA)
        levels = np.concatenate(([self.state.depth], self.depths))
        return self._outside(commas[levels[np.searchsorted(self.brackets, commas)] == depth])

    def _outside(self, places: Positions) -> Positions:
        """Those of some positions, where no quote is, that lie in no string."""
        bits = self._strings[places >> 6] >> (places & 63).astype(np.uint64)
        outside: Positions = places[bits & np.uint64(1) == 0]
        return outside

    def _find_quotes(self) -> tuple[npt.NDArray[np.bool_], bool]:
        """Which bytes are quotes that open or close a string; whether the last is a backslash that takes the next."""
        quotes = self.bytes == _QUOTE
        if not self.state.escaped and _BACKSLASH not in self.data:
            return quotes, False
        backslashes = positions(self.bytes, _BACKSLASH)
        if self.state.escaped:
            quotes[:1], backslashes = False, backslashes[backslashes > 0]
        if not len(backslashes):
            return quotes, not self.data and self.state.escaped
        firsts = np.flatnonzero(np.diff(backslashes, prepend=-2) != 1)
        lengths = np.diff(firsts, append=len(backslashes))
        taken = (backslashes[firsts] + lengths)[lengths & 1 == 1]
        is_cut = len(taken) > 0 and bool(taken[-1] == len(self.data))
        quotes[taken[:-1] if is_cut else taken] = False
        return quotes, is_cut


def _strings(quotes: npt.NDArray[np.bool_], *, begins_inside: bool) -> tuple[npt.NDArray[np.uint64], bool]:
    """A bit for each byte, whether a string is open behind it, in words of 64; and whether one is at the end."""
    bits = np.packbits(quotes, bitorder="little")
    words = np.zeros(len(quotes) // _WORD_BITS + 1, "<u8")
    words.view(np.uint8)[: len(bits)] = bits
    for shift in (1, 2, 4, 8, 16, 32):  # each bit becomes the parity of those up to it
        words ^= words << np.uint64(shift)
    odd = (words >> np.uint64(_WORD_BITS - 1)).astype(np.bool_)
    open_behind = np.logical_xor.accumulate(odd) ^ begins_inside
    open_before = np.concatenate(([begins_inside], open_behind[:-1]))
    words[open_before] = ~words[open_before]
    return words.astype(np.uint64, copy=False), bool(open_behind[-1])


def deepest(raw: bytes) -> int:
    """How many brackets are open at the same time, at most."""
    depths = JsonMarks(raw, JsonState(0)).depths
    return int(depths.max()) if len(depths) else 0


def positions(data: npt.NDArray[np.uint8], byte: int) -> Positions:
    """Where a byte lies, looked for in pieces that stay in the processor's cache."""
    starts = range(0, len(data), _PIECE_BYTES)
    return np.concatenate([_NOTHING, *(np.flatnonzero(data[start : start + _PIECE_BYTES] == byte) + start for start in starts)])


def _bracket_positions(data: npt.NDArray[np.uint8]) -> Positions:
    found = [_NOTHING]
    for start in range(0, len(data), _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES] | _CASE
        found.append(np.flatnonzero((piece == _OPEN) | (piece == _CLOSE)) + start)
    return np.concatenate(found)


_NOTHING: Positions = np.empty(0, np.int64)

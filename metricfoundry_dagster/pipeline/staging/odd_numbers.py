"""Finds fields that a parser of numbers would read, and thereby change: `00123`, `-07`, `0x1F`, `+5`, ` 5`.

A parser gives numbers, not texts, so these must be seen in the bytes. One cheap look finds every field that
begins so, in whatever column; those in columns of text explain themselves.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metricfoundry_dagster.pipeline.staging.find_marks import Positions

_ZERO, _MINUS, _PLUS, _SPACE, _TAB = (ord(char) for char in "0-+ \t")
#: Bytes looked at together; they stay in the processor's cache.
_PIECE_BYTES = 128 * 1024


def count_odd_fields(
    text: bytes | memoryview, record_starts: Positions, quotes: Positions, *, paired: bool, delimiter: str
) -> int:
    """How many fields of a block begin as no plain number does.

    `paired` says that the quotes, in turn, open and close fields; otherwise text inside quotes may count too. A
    field is never left out.
    """
    data = np.frombuffer(text, np.uint8)
    after_delimiters = _odd_after(data, delimiter)
    if paired and len(quotes):
        after_delimiters = after_delimiters[np.searchsorted(quotes, after_delimiters) & 1 == 0]
    others = np.concatenate((record_starts, (_opening(quotes) if paired else quotes) + 1))
    return len(after_delimiters) + len(_odd_ones(data, others, delimiter))


def count_odd_texts(texts: pa.Array, delimiter: str) -> int:
    """How many of the texts begin so, in the same sense."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    buffer = texts.buffers()[2]
    if buffer is None or not len(buffer):
        return 0
    data = np.concatenate((np.frombuffer(buffer, np.uint8), np.zeros(3, np.uint8)))
    lengths = np.diff(offsets)
    starts, lengths = offsets[:-1][lengths > 0].astype(np.int64), lengths[lengths > 0]
    odd = _odd_ones(data, starts, delimiter)
    needed = _BYTES_NEEDED[data[odd]]  # behind a shorter text the next one begins
    return int(np.count_nonzero(lengths[np.searchsorted(starts, odd)] >= needed))


def _odd_after(data: npt.NDArray[np.uint8], delimiter: str) -> Positions:
    """Odd fields that begin behind a delimiter."""
    found = [np.empty(0, np.int64)]
    for start in range(0, len(data) - 1, _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES + 1]
        doubtful = piece[:-1] == ord(delimiter)
        doubtful &= piece[1:] <= _ZERO  # no digit above 0, no letter
        found.append(_odd_ones(data, np.flatnonzero(doubtful) + (start + 1), delimiter))
    return np.concatenate(found)


def _odd_ones(data: npt.NDArray[np.uint8], fields: Positions, delimiter: str) -> Positions:
    """Those of the fields, given by their first bytes, that are odd. A zero is when a digit or letter follows it."""
    fields = fields[_MAY_BE_ODD[data[fields]]]
    last = len(data) - 1
    begin, second, third = data[fields], data[np.minimum(fields + 1, last)], data[np.minimum(fields + 2, last)]
    zero = (begin == _ZERO) & (second >= _ZERO) & (second != ord(delimiter))
    minus = (begin == _MINUS) & (second == _ZERO) & (third >= _ZERO) & (third != ord(delimiter))
    marked = (begin == _PLUS) | (begin == _SPACE) | (begin == _TAB)
    odd: Positions = fields[zero | minus | marked]
    return odd


def _opening(quotes: Positions) -> Positions:
    """Of paired quotes those that open a field, not those that are one half of a doubled quote inside it."""
    opens = np.ones(len(quotes), np.bool_)
    opens[1::2] = False
    opens[1:] &= np.diff(quotes) != 1
    return quotes[opens]


#: For each first byte of an odd field how many bytes make it odd; 0 where none do.
_BYTES_NEEDED = np.zeros(256, np.int64)
_BYTES_NEEDED[[_PLUS, _SPACE, _TAB, _ZERO, _MINUS]] = (1, 1, 1, 2, 3)
_MAY_BE_ODD = _BYTES_NEEDED > 0

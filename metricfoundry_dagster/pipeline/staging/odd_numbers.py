"""Finds fields that a parser of numbers would read, and thereby change: `00123`, `-07`, `0x1F`, `+5`, ` 5`.

A parser gives numbers, not texts, so these must be seen in the bytes. One cheap look finds every field that
begins so, in whatever column; those in columns of text explain themselves.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metricfoundry_dagster.pipeline.staging.find_marks import Positions

_ZERO, _MINUS, _PLUS, _SPACE, _TAB = (ord(char) for char in "0-+ \t")


def count_odd_fields(text: bytes | memoryview, record_starts: Positions, *, delimiter: str, quote: str | None) -> int:
    """How many fields of a block begin as no plain number does; text with quotes in it may give more, never fewer."""
    data = np.frombuffer(text, np.uint8)
    before = data == ord(delimiter)
    if quote is not None:
        before |= data == ord(quote)
    zero = data == _ZERO
    at_start = data[record_starts]
    count = _count_zeros(data, np.flatnonzero(before[:-1] & zero[1:]) + 1, delimiter)
    count += _count_zeros(data, record_starts[at_start == _ZERO], delimiter)
    signed = before[:-2] & zero[2:]
    signed &= data[1:-1] == _MINUS
    count += _count_zeros(data, np.flatnonzero(signed) + 2, delimiter)
    negative = record_starts[at_start == _MINUS] + 1
    count += _count_zeros(data, negative[data[negative] == _ZERO], delimiter)
    for first in (_PLUS, _SPACE, _TAB):
        here = data[1:] == first
        if first != ord(delimiter) and here.any():
            count += int(np.count_nonzero(before[:-1] & here)) + int(np.count_nonzero(at_start == first))
    return count


def count_odd_texts(texts: pa.Array, delimiter: str) -> int:
    """How many of the texts begin so, in the same sense."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    buffer = texts.buffers()[2]
    if buffer is None or not len(buffer):
        return 0
    data = np.concatenate((np.frombuffer(buffer, np.uint8), np.zeros(3, np.uint8)))
    starts, lengths = offsets[:-1], np.diff(offsets)
    first = np.where(lengths > 0, data[starts], 0)
    zeros, minuses = starts[(first == _ZERO) & (lengths > 1)], starts[(first == _MINUS) & (lengths > 2)] + 1
    count = _count_zeros(data, zeros, delimiter) + _count_zeros(data, minuses[data[minuses] == _ZERO], delimiter)
    return count + int(np.isin(first, (_PLUS, _SPACE, _TAB)).sum())


def _count_zeros(data: npt.NDArray[np.uint8], zeros: Positions, delimiter: str) -> int:
    """How many of these zeros, each the first digit of a field, go on with a digit or a letter."""
    following = data[zeros + 1]
    return int(np.count_nonzero((following >= _ZERO) & (following != ord(delimiter))))

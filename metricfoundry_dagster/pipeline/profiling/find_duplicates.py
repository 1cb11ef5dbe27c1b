"""Rows that repeat an earlier row in every column, exact.

Each row is mixed into one 64-bit number, column by column, while the columns are counted anyway. Rows whose
number nobody shares are certainly unlike all others; those that share one are read again and compared value by
value with the first of them, so a collision of hashes costs time and never a wrong count. The multiplier is drawn
anew each time, so nobody can prepare rows that collide.

Equality is that of the counts: null equals null and nothing else (not the empty text), -0.0 equals 0.0, and every
NaN equals every NaN.
"""

import secrets
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from metricfoundry_dagster.pipeline.profiling.count_texts import codes_of_rows
from metricfoundry_dagster.pipeline.profiling.read_columns import FixedColumn, Mask, TableFiles, Values, is_fixed
from metricfoundry_dagster.pipeline.profiling.report import DuplicateExample

DUPLICATE_EXAMPLES = 5
_BLOCK = 1 << 16
_FOLD = np.uint64(32)
_NULL = np.uint64(secrets.randbits(64))


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How many rows repeat an earlier one, and the first few."""

    rows: int
    examples: tuple[DuplicateExample, ...] = ()


class RowHashes:
    """One 64-bit number per row over all columns added so far; 8 bytes a row."""

    def __init__(self, rows: int, *, bits: int = 64) -> None:
        self._hashes = np.zeros(rows, dtype=np.uint64)
        self._multiplier = np.uint64(secrets.randbits(64) | 1)
        self._shift = np.uint64(64 - bits)

    def add_fixed(self, column: FixedColumn) -> None:
        """Mix a column of fixed width in."""
        self._add(column.values, column.valid)

    def add_ids(self, ids: Values) -> None:
        """Mix in a column of which equal values have equal numbers."""
        self._add(ids, None)

    def _add(self, values: Values, valid: Mask | None) -> None:
        for start in range(0, len(self._hashes), _BLOCK):  # blocks stay in the processor's cache
            after = start + _BLOCK
            hashes, block = self._hashes[start:after], _as_bits(values[start:after])
            hashes ^= block if valid is None else np.where(valid[start:after], block, _NULL)
            hashes *= self._multiplier
            hashes ^= hashes >> _FOLD

    def shared(self) -> "SharedHashes":
        """Rows whose number occurs more than once."""
        hashes = self._hashes >> self._shift
        ordered = np.sort(hashes)
        shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(shared):
            return SharedHashes(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        places = np.minimum(np.searchsorted(shared, hashes), len(shared) - 1)
        rows = np.flatnonzero(shared[places] == hashes)
        return SharedHashes(rows, places[rows])


@dataclass(frozen=True, slots=True)
class SharedHashes:
    """Rows, ascending from 0, that share their hash with another, and which of the shared hashes each has."""

    rows: Values
    groups: Values


def find_duplicates(files: TableFiles, hashes: RowHashes) -> Duplicates:
    """Compare the rows that share a hash with the first of them, until each is a repetition or a first one."""
    shared = hashes.shared()
    rows, groups = shared.rows, shared.groups
    repeated, examples = 0, list[DuplicateExample]()
    while len(rows):
        # One round settles all but true collisions; those go on among themselves.
        _, first_places, of_group = np.unique(groups, return_index=True, return_inverse=True)
        first_rows = rows[first_places][of_group]
        same = _same_rows(files, rows, first_rows)
        is_repetition = same & (rows != first_rows)
        repeated += int(np.count_nonzero(is_repetition))
        found = np.flatnonzero(is_repetition)[:DUPLICATE_EXAMPLES]
        examples += [DuplicateExample(int(rows[place]) + 1, int(first_rows[place]) + 1) for place in found]
        rows, groups = rows[~same], groups[~same]
    return Duplicates(repeated, tuple(sorted(examples, key=lambda example: example.row)[:DUPLICATE_EXAMPLES]))


def _same_rows(files: TableFiles, rows: Values, others: Values) -> Mask:
    """Whether each row equals the other row, in every column; both are members of `rows`."""
    same = np.ones(len(rows), dtype=np.bool_)
    places = np.searchsorted(rows, others)
    for name in files.schema.names:
        if pa.types.is_null(files.type_of(name)):
            continue
        if not is_fixed(files.type_of(name)):
            codes = codes_of_rows(files, name, rows)
            same &= codes == codes[places]
            continue
        column = files.fixed(name)
        bits = _as_bits(column.values)[rows]
        equal = bits == bits[places]
        if column.valid is not None:
            valid = column.valid[rows]
            equal = (equal | ~valid) & (valid == valid[places])
        same &= equal
    return same


def _as_bits(values: Values) -> Values:
    """Values as unsigned 64-bit numbers, one for each value."""
    if values.dtype.itemsize == 8:
        return values.view(np.uint64)
    return values.astype(np.int64).view(np.uint64)

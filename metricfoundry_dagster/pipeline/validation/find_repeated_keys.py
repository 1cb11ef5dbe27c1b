"""Finds the rows of a whole table whose key has occurred in a row before, in bounded memory.

A key is known by 128 bits of hash: two of a billion different keys share one with a chance of about one in 10**21.
Up to `SORTED_ROWS` rows are held at a time, 24 bytes each; a larger table is first split by hash into files.
Rows in which a part of the key is missing are not compared.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from metricfoundry_dagster.pipeline.validation.column_checks import is_missing
from metricfoundry_dagster.pipeline.validation.compiled_contract import JudgedColumn, Key

if TYPE_CHECKING:
    import polars as pl

SORTED_ROWS = 4_000_000
_SEEDS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
_MIX = np.uint64(0xFF51AFD7ED558CCD)


class RowSet:
    """A set of row numbers of a table, from 0, in one bit for each row."""

    def __init__(self, rows: int) -> None:
        self._bits = np.zeros(rows // 8 + 1, np.uint8)

    def add(self, rows: np.ndarray) -> None:
        """Put row numbers in; each may occur once."""
        np.bitwise_or.at(self._bits, rows // 8, np.left_shift(1, rows % 8).astype(np.uint8))

    def within(self, start: int, stop: int) -> np.ndarray:
        """For each row from `start` up to `stop`, whether it is in."""
        bits = np.unpackbits(self._bits[start // 8 : stop // 8 + 1], bitorder="little")
        return bits[start % 8 : start % 8 + stop - start].astype(bool)


class KeyHashes:
    """The hashes of one key's values, batch after batch; `repeated` then says which rows repeat an earlier one.

    Use it with `with`: it may hold temporary files. `rows` is the number of rows of the whole table.
    """

    def __init__(self, key: Key, rows: int, *, sorted_rows: int = SORTED_ROWS) -> None:
        self.key = key
        self._rows = rows
        self._shares = max(1, -(-rows // sorted_rows))
        self._held: list[np.ndarray] = []
        self._files: list[BinaryIO] = []
        self._resources = ExitStack()

    def add(self, values: "pl.DataFrame", first_row: int) -> None:
        """Take the key's values of one batch, whose first row has that number, from 0, in the table."""
        there = ~values.select(missing=_any_missing(self.key.columns)).to_series().to_numpy()
        hashes = np.empty((int(there.sum()), 3), np.uint64)
        hashes[:, 0], hashes[:, 1] = (_hash(values, self.key.columns, which)[there] for which in (0, 1))
        hashes[:, 2] = np.flatnonzero(there) + first_row
        if self._shares == 1:
            self._held.append(hashes)
        else:
            self._spill(hashes)

    def repeated(self) -> RowSet:
        """The rows whose key has occurred before."""
        found = RowSet(self._rows)
        for hashes in self._each_share():
            found.add(_repetitions(hashes))
        return found

    def __enter__(self) -> Self:
        if self._shares > 1:
            folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="metricfoundry-keys-")))
            self._files = [self._resources.enter_context((folder / str(i)).open("w+b")) for i in range(self._shares)]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()

    def _spill(self, hashes: np.ndarray) -> None:
        share = hashes[:, 0] % np.uint64(self._shares)
        order = np.argsort(share, kind="stable")
        ends = np.searchsorted(share[order], np.arange(self._shares, dtype=np.uint64), side="right")
        for file, start, end in zip(self._files, [0, *ends[:-1]], ends, strict=True):
            file.write(hashes[order[start:end]].tobytes())

    def _each_share(self) -> Iterator[np.ndarray]:
        if self._shares == 1:
            yield np.concatenate(self._held) if self._held else np.empty((0, 3), np.uint64)
        for file in self._files:
            file.seek(0)
            yield np.frombuffer(file.read(), np.uint64).reshape(-1, 3)


def find_repeated_keys(
    keys: Iterable[Key], batches: Iterable[tuple[int, "pl.DataFrame"]], rows: int, *, sorted_rows: int = SORTED_ROWS
) -> dict[str, RowSet]:
    """For each key, by its flag, the rows that repeat an earlier one.

    `batches` are frames of the keys' values with the number, from 0, of their first row; together they have `rows` rows.
    """
    with ExitStack() as stack:
        hashes = [stack.enter_context(KeyHashes(key, rows, sorted_rows=sorted_rows)) for key in keys]
        for first_row, values in batches:
            for of_key in hashes:
                of_key.add(values, first_row)
        return {of_key.key.flag: of_key.repeated() for of_key in hashes}


def _repetitions(hashes: np.ndarray) -> np.ndarray:
    """The rows, third column, that have the hashes of an earlier row; rows come in ascending order."""
    ordered = np.sort(hashes[:, 0])
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not shared.size:
        return np.empty(0, np.int64)
    # Few hashes are shared as a rule, so only their rows are sorted with all that belongs to them.
    at = np.minimum(np.searchsorted(shared, hashes[:, 0]), shared.size - 1)
    first, second, rows = hashes[shared[at] == hashes[:, 0]].T
    order = np.lexsort((second, first))
    again = (first[order][1:] == first[order][:-1]) & (second[order][1:] == second[order][:-1])
    repeated: np.ndarray = rows[order][1:][again].astype(np.int64)
    return repeated


def _any_missing(columns: tuple[JudgedColumn, ...]) -> "pl.Expr":
    import polars as pl  # a warm parent process must not have used Polars before it forks

    return pl.any_horizontal(*(is_missing(column) for column in columns))


def _hash(values: "pl.DataFrame", columns: tuple[JudgedColumn, ...], which: int) -> np.ndarray:
    """64 bits of hash for each row. The second hash of a text is that of a longer text, so that the two are independent."""
    import polars as pl

    mixed = np.zeros(values.height, np.uint64)
    for column in columns:
        value = pl.col(column.value)
        if column.dtype == pl.String and which:
            value = value + "\x01"
        hashed = values.select(value.hash(_SEEDS[which])).to_series().to_numpy()
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX + hashed
    return mixed

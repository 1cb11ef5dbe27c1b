"""Repetitions are found over the whole table, with or without room for it in memory."""

from itertools import islice
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.validation.compiled_contract import JudgedColumn, Key
from metricfoundry_dagster.pipeline.validation.find_repeated_keys import RowSet, find_repeated_keys

VALUES = st.integers(0, 5) | st.none()
ROWS = st.lists(st.tuples(VALUES, st.sampled_from(["a", "b", "", None])), max_size=40)


def repeated(frame: pl.DataFrame, batch_rows: int, sorted_rows: int) -> list[int]:
    """The rows, from 0, whose values have occurred together in a row before."""
    key = Key(tuple(JudgedColumn(name, "", dtype, name, name, None) for name, dtype in frame.schema.items()), "flag")
    starts = range(0, frame.height, batch_rows)
    batches = ((start, frame.slice(start, batch_rows)) for start in starts)
    found = find_repeated_keys([key], batches, frame.height, sorted_rows=sorted_rows)["flag"]
    return np.flatnonzero(found.within(0, frame.height)).tolist()


def expected(rows: list[tuple[Any, ...]]) -> list[int]:
    """The same, by the plainest means."""
    seen: set[tuple[Any, ...]] = set()
    again = []
    for number, row in enumerate(rows):
        if None in row:
            continue
        if row in seen:
            again.append(number)
        seen.add(row)
    return again


@given(ROWS, st.integers(1, 50), st.sampled_from([1, 3, 1000]))
def test_every_repetition_but_the_first_is_found_whatever_the_batches(
    rows: list[tuple[int | None, str | None]], batch_rows: int, sorted_rows: int
) -> None:
    frame = pl.DataFrame(rows, schema={"n": pl.Int64, "s": pl.String}, orient="row")
    assert repeated(frame, batch_rows, sorted_rows) == expected(rows)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("x", [0.0, -0.0, float("nan"), float("nan"), None]),
        pl.Series("x", ["a", "a", None, None, "b"]),
        pl.Series("x", [True, True, False, None, None]),
        pl.Series("x", ["1.10", "1.10", None, "1.11", None]).cast(pl.Decimal(10, 2)),
        pl.Series("x", [[1], [1], [2], None, None]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_missing_values_are_not_compared(column: pl.Series) -> None:
    assert repeated(column.to_frame(), 2, 1000) == [1]


def test_neighbouring_columns_are_not_mixed_up() -> None:
    frame = pl.DataFrame({"a": ["x", "", "xy", "x"], "b": ["y", "xy", "", "y"]})
    assert repeated(frame, 10, 10) == [3]


@given(st.sets(st.integers(0, 99)), st.integers(0, 100), st.integers(0, 100))
def test_a_row_set_gives_back_what_was_put_in(rows: set[int], start: int, length: int) -> None:
    found = RowSet(100)
    found.add(np.array(sorted(rows), np.int64))
    stop = min(100, start + length)
    assert np.flatnonzero(found.within(start, stop)).tolist() == [row - start for row in sorted(rows) if start <= row < stop]


def test_many_keys_stay_apart() -> None:
    """A hundred thousand different keys have no repetition, and each of them is found when it comes again."""
    once = pl.DataFrame({"n": np.arange(100_000)}).with_columns(s=pl.col("n").cast(pl.String))
    twice = pl.concat([once, once])
    assert repeated(twice, 7_000, 30_000) == list(islice(range(200_000), 100_000, None))

"""Duplicate rows are exact, whatever the hashes do."""

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.profiling.find_duplicates import RowHashes, find_duplicates
from metricfoundry_dagster.pipeline.profiling.read_columns import TableFiles
from metricfoundry_dagster.pipeline.profiling.report import DuplicateExample
from metricfoundry_dagster_tests.pipeline.profiling.written_tables import table_report, write_parts

ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-2, 2),
        st.none() | st.sampled_from([0.0, -0.0, 1.0, math.nan]),
        st.none() | st.sampled_from(["", "a", "b"]),
        st.none() | st.booleans(),
    ),
    max_size=40,
)
TYPES = (pa.int64(), pa.float64(), pa.string(), pa.bool_())


def table_of(rows: Sequence[Sequence[Any]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(TYPES)
    return pa.table({f"c{i}": pa.array(values, t) for i, (values, t) in enumerate(zip(columns, TYPES, strict=True))})


def distinct_rows(rows: Sequence[Sequence[Any]]) -> int:
    """-0.0 equals 0.0 for Python already; NaN must be told to equal NaN."""
    return len({tuple("NaN" if value != value else value for value in row) for row in rows})  # noqa: PLR0124 -- NaN is that


@given(ROWS, st.integers(1, 3))
def test_rows_that_repeat_an_earlier_one_are_counted(rows: list[tuple[Any, ...]], parts: int) -> None:
    with TemporaryDirectory() as folder:
        table = table_report(Path(folder), table_of(rows), parts=parts)
    assert table.duplicate_rows == len(rows) - distinct_rows(rows)
    for example in table.duplicate_examples:
        assert example.row > example.repeats
        assert distinct_rows([rows[example.row - 1], rows[example.repeats - 1]]) == 1


@given(ROWS, st.integers(1, 8))
def test_collisions_of_hashes_change_no_count(rows: list[tuple[Any, ...]], bits: int) -> None:
    """With hashes of few bits nearly every row collides with others."""
    with TemporaryDirectory() as folder, TableFiles(write_parts(Path(folder), table_of(rows), parts=2)) as files:
        hashes = RowHashes(files.rows, bits=bits)
        for name in files.schema.names[:2]:
            hashes.add_fixed(files.fixed(name))
        assert find_duplicates(files, hashes).rows == len(rows) - distinct_rows(rows)


@pytest.mark.parametrize(
    ("column", "duplicates"),
    [
        (pa.array([None, ""], pa.string()), 0),
        (pa.array([None, 0]), 0),
        (pa.array([None, False]), 0),
        (pa.array([None, math.nan], from_pandas=False), 0),
        (pa.array([None, None], pa.string()), 1),
        (pa.array([0.0, -0.0]), 1),
        (pa.array([math.nan, -math.nan], from_pandas=False), 1),
        (pa.nulls(2), 1),
        (pa.array([[1, None], [1, None]]), 1),
        (pa.array([[1, None], [None, 1]]), 0),
    ],
    ids=str,
)
def test_what_equals_what(column: pa.Array, duplicates: int, tmp_path: Path) -> None:
    """Null equals null and nothing else, zero equals minus zero, NaN equals NaN."""
    assert table_report(tmp_path, {"c": column}).duplicate_rows == duplicates


def test_columns_are_not_mixed_up(tmp_path: Path) -> None:
    """The same values in other columns make another row."""
    assert table_report(tmp_path, {"a": [1, 2], "b": [2, 1]}).duplicate_rows == 0


def test_big_tables_with_hashed_and_encoded_text_find_their_duplicates(tmp_path: Path) -> None:
    rows = 25_000
    columns = {f"n{number}": pa.array([row // 2 for row in range(rows)]) for number in range(80)}
    columns["rare"] = pa.array([f"rare {row // 2}" for row in range(rows)])
    columns["often"] = pa.array([f"often {row // 2 % 7}" for row in range(rows)])
    columns["last"] = pa.array([row % 10 == 1 for row in range(rows)])
    table = table_report(tmp_path, columns, parts=2, row_group_rows=5_000)
    assert table.duplicate_rows == 10_000
    assert table.duplicate_examples[0] == DuplicateExample(4, 3)


def test_a_table_without_rows_or_columns_has_no_duplicates(tmp_path: Path) -> None:
    assert table_report(tmp_path / "rows", {"a": pa.array([], pa.int64())}).duplicate_rows == 0
    assert table_report(tmp_path / "columns", pa.table({})).duplicate_rows == 0

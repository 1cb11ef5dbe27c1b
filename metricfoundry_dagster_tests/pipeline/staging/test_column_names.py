"""Safe names for columns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.staging.column_names import RESERVED_NAMES, safe_names


@pytest.mark.parametrize(
    ("source_names", "expected"),
    [
        (["id", "Unit price (€)", " x "], ["id", "Unit_price", "x"]),
        (["größe", "日付"], ["größe", "日付"]),
        (["a", "a", "A", "a_2"], ["a", "a_2", "A_3", "a_2_2"]),
        (["", None, "!!"], ["column_1", "column_2", "column_3"]),
        (["column_2", ""], ["column_2", "column_2_2"]),
        (["__time", "_dataset_id", "__TIME"], ["__time_2", "_dataset_id_2", "__TIME_3"]),
        (["2024", "_private", "end_"], ["_2024", "_private", "end_"]),
    ],
)
def test_names_become_safe(source_names: list[str | None], expected: list[str]) -> None:
    assert safe_names(source_names) == expected


@given(st.lists(st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["a", "A", "a_2", "__time", "1", "_"]))))
def test_names_are_safe_and_unique_without_regard_to_case(source_names: list[str | None]) -> None:
    names = safe_names(source_names)
    assert len({name.lower() for name in names}) == len(source_names)
    assert all(re.fullmatch(r"[^\W\d]\w*", name) for name in names)
    assert not {name.lower() for name in names} & set(RESERVED_NAMES)


@given(st.lists(st.text(max_size=5)), st.lists(st.text(max_size=5)))
def test_later_columns_do_not_rename_earlier_ones(first: list[str], later: list[str]) -> None:
    assert safe_names(first + later)[: len(first)] == safe_names(first)

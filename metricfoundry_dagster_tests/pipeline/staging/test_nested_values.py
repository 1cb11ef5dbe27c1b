"""Nested values: objects become columns, lists of objects become tables with keys, and nothing changes with the blocks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import refusal, stage
from metricfoundry_dagster_tests.pipeline.staging.stage_tables import stage_all

BLOCKS = [30, 8 * 1024**2]
ORDERS = [
    {
        "id": 1,
        "who": {"name": "A", "at": {"zip": "01", "geo": {"x": 1.5}}},
        "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}],
    },
    {"id": 2, "who": {"name": "B", "at": None}, "lines": [], "tags": ["x"]},
    {"id": 3, "who": {}, "lines": [{"sku": "c", "parts": [{"p": 1}, {"p": 2}]}]},
]


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("as_lines", [False, True])
def test_objects_become_columns_and_lists_of_objects_tables(block_bytes: int, as_lines: bool) -> None:
    content = "".join(json.dumps(one) + "\n" for one in ORDERS) if as_lines else json.dumps(ORDERS)
    staged, rows = stage_all(content, "orders.jsonl" if as_lines else "orders.json", block_bytes=block_bytes, nested="tables")
    assert [table.name for table in staged.tables] == ["orders", "orders_lines", "orders_lines_parts"]
    first = {"_row": 1, "id": 1, "who_name": "A", "who_at_zip": "01", "who_at_geo": '{"x":1.5}'}
    nothing = {"who_at": None, "lines": None, "tags": None, "who": None}
    assert rows["orders"][0] == first | nothing
    assert rows["orders"][1]["lines"] == "[]"
    assert rows["orders"][1]["tags"] == '["x"]'
    assert rows["orders"][2]["who"] == "{}"
    assert rows["orders_lines"] == [
        {"_row": 1, "_parent_row": 1, "sku": "a", "n": 1},
        {"_row": 2, "_parent_row": 1, "sku": "b", "n": 2},
        {"_row": 3, "_parent_row": 3, "sku": "c", "n": None},
    ]
    assert rows["orders_lines_parts"] == [{"_row": 1, "_parent_row": 3, "p": 1}, {"_row": 2, "_parent_row": 3, "p": 2}]
    assert [column.source_name for column in staged.tables[0].columns][:4] == [None, "id", "who.name", "who.at.zip"]


def test_json_lines_keep_text_unless_asked_and_the_recipe_says_so() -> None:
    lines = stage('{"a": {"b": 1}}\n{"a": {"b": 2}}\n', "t.jsonl")
    document = stage('[{"a": {"b": 1}}]', "t.json")
    assert (lines.recipe.nested, lines.types) == ("json", {"a": "string"})
    assert (document.recipe.nested, document.types) == ("tables", {"a_b": "int64"})
    assert stage('[{"a": {"b": 1}}]', "t.json", nested="json").column("a") == ['{"b":1}']
    assert refusal('[{"a": 1}]', "t.json", nested="lists").code == "request.invalid"


def test_the_depth_of_columns_is_chosen() -> None:
    content = '[{"a": {"b": {"c": {"d": 1}}}}]'
    assert stage(content, "t.json").types == {"a_b_c": "string"}
    assert stage(content, "t.json", flatten_depth=1).types == {"a": "string"}
    assert stage(content, "t.json", flatten_depth=9).types == {"a_b_c_d": "int64"}


def test_names_that_meet_stay_apart() -> None:
    staged, rows = stage_all('[{"a_b": 1, "a": {"b": 2}, "_row": "r", "x": [{"_parent_row": "p"}]}]', "t.json")
    assert rows["t"] == [{"_row": 1, "a_b": 1, "a_b_2": 2, "_row_2": "r"}]
    assert rows["t_x"] == [{"_row": 1, "_parent_row": 1, "_parent_row_2": "p"}]
    assert staged.tables[0].balances


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_a_rejected_row_leaves_no_children(block_bytes: int) -> None:
    content = '[{"a": "1", "x": [{"y": 1}]}, {"a": "q", "x": [{"y": 2}]}, {"a": "3", "x": [{"y": 3}]}]'
    staged, rows = stage_all(content, "t.json", block_bytes=block_bytes, types={"a": "int64"})
    assert (staged.tables[0].rows_rejected, rows["t"]) == (1, [{"_row": 1, "a": 1}, {"_row": 2, "a": 3}])
    assert rows["t_x"] == [{"_row": 1, "_parent_row": 1, "y": 1}, {"_row": 2, "_parent_row": 2, "y": 3}]


def test_an_empty_object_among_full_ones_is_seen() -> None:
    """A parser's struct would make it an object full of nulls."""
    staged = stage(json.dumps([{"a": {"b": 1}}] * 3000 + [{"a": {}}, {"a": None}]), "t.json", block_bytes=4000)
    assert staged.types == {"a_b": "int64", "a": "string"}
    assert staged.column("a")[-2:] == ["{}", None]


def test_a_child_that_cannot_be_staged_fails_beside_the_others() -> None:
    staged, rows = stage_all('[{"a": 1, "x": [{"b": 1, "c": 2, "d": 3}], "y": [{"b": 1}]}]', limits=Limits(max_columns=2))
    assert [(table.name, table.error.code if table.error else None) for table in staged.tables] == [
        ("t", None),
        ("t_x", "csv.too_many_columns"),
        ("t_y", None),
    ]
    assert rows["t_y"] == [{"_row": 1, "_parent_row": 1, "b": 1}]


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 2**60), st.sampled_from(["x", "", "2024-01-01"]))
KEYS = st.sampled_from(["a", "b", "c"])
OBJECTS = st.recursive(
    st.dictionaries(KEYS, SCALARS, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(SCALARS, inner, st.lists(inner, max_size=3)), max_size=3),
    max_leaves=8,
)


@given(st.lists(OBJECTS, min_size=1, max_size=5), st.integers(1, 4), st.sampled_from([1, 25, 10**6]))
def test_blocks_change_nothing_and_every_key_leads_to_a_parent(objects: list[Any], depth: int, block_bytes: int) -> None:
    content = json.dumps([{"k": 1}, *objects])
    staged, rows = stage_all(content, block_bytes=block_bytes, flatten_depth=depth)
    whole, whole_rows = stage_all(content, flatten_depth=depth)
    assert (staged.tables, rows) == (whole.tables, whole_rows)
    names = set(rows)
    for name, table in rows.items():
        if name != "t":
            parents = [parent for parent in names if name.startswith(f"{parent}_")]
            most = max(len(rows[parent]) for parent in parents)
            assert [row["_row"] for row in table] == list(range(1, len(table) + 1))
            assert all(1 <= row["_parent_row"] <= most for row in table)
    lists = [value for one in objects for value in _lists(one, depth)]
    assert sum(len(table) for name, table in rows.items() if name != "t") == sum(lists)


def _lists(one: dict[str, Any], depth: int, level: int = 1) -> list[int]:
    """The lengths of all lists of objects that become tables."""
    found = []
    for value in one.values():
        if isinstance(value, dict) and value and level < depth:
            found += _lists(value, depth, level + 1)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            found.append(len(value))
            found += [length for item in value for length in _lists(item, depth)]
    return found

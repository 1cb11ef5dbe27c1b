"""JSON documents: whatever their shape, each element becomes a row or a reject, and what is not JSON is refused."""

import gzip
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import refusal, stage
from metricfoundry_dagster_tests.pipeline.staging.stage_tables import stage_all

BLOCKS = [3, 40, 8 * 1024**2]


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('[{"a": 1, "b": "x"}, {"a": 2.5}]', [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": None}]),
        ('\ufeff [ {"a":"[{,"} ,\r\n\r\n{"a":"\\\\\\""} ] \n', [{"a": "[{,"}, {"a": '\\"'}]),
        ('[["x", "y"], [1, "b"], [null, [1.0]]]', [{"x": 1, "y": "b"}, {"x": None, "y": "[1.0]"}]),
        ('[[1, "a"], [2, "b"]]', [{"column_1": 1, "column_2": "a"}, {"column_1": 2, "column_2": "b"}]),
        ('[["x", "x"], ["1", "2"]]', [{"column_1": "x", "column_2": "x"}, {"column_1": "1", "column_2": "2"}]),
        ("[1, null, 3]", [{"value": 1}, {"value": None}, {"value": 3}]),
        ('[null, "a,]", {"b": [1]}]', [{"value": None}, {"value": "a,]"}, {"value": '{"b":[1]}'}]),
        ('{"a": [1, 2], "b": ["x", null]}', [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        ('{"a": [1, 2], "b": [3]}', [{"a": "[1,2]", "b": "[3]"}]),
        ('{"a": [1], "b": 2}', [{"a": "[1]", "b": 2}]),
        ('{"ok": true, "items": [{"a": 1}, {"a": 2}], "tags": ["x"]}', [{"a": 1}, {"a": 2}]),
        ('{"a": 12345678901234567890123, "b": 0.10}', [{"a": "12345678901234567890123", "b": 0.1}]),
        ('[{"a": 1}, {"a": 9007199254740993}, {"a": 1e400}]', [{"a": "1"}, {"a": "9007199254740993"}, {"a": "1e400"}]),
    ],
)
def test_every_shape_gives_its_rows(content: str, rows: list[dict[str, Any]], block_bytes: int) -> None:
    staged = stage(content, "t.json", block_bytes=block_bytes)
    assert (staged.recipe.format, staged.table.to_pylist(), staged.rejects) == ("json", rows, [])


def test_what_lies_beside_the_records_is_told() -> None:
    staged, _rows = stage_all('{"ok": true, "next": "u/2", "items": [{"a": 1}], "tags": ["x"]}')
    assert staged.recipe.records == "/items"
    (finding,) = staged.findings
    assert (finding.code, finding.message.endswith("not staged: ok = true, next = u/2, tags")) == ("staging.beside_records", True)


def test_the_place_of_the_records_may_be_given() -> None:
    content = '{"data": {"a/b": [{"x": 1}], "c": {"y": 2}}, "items": [{"z": 3}]}'
    assert stage(content, "t.json", records="/data/a~1b").table.to_pylist() == [{"x": 1}]
    assert stage(content, "t.json", records="/data/c").table.to_pylist() == [{"y": 2}]
    assert stage(content, "t.json", records="", nested="json", flatten_depth=1).types == {"data": "string", "items": "string"}
    assert refusal(content, "t.json", records="/data/q").code == "request.invalid"
    assert refusal(content, "t.json", records="data").code == "request.invalid"
    assert refusal(content, "t.json", flatten_depth=0).code == "request.invalid"


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_elements_that_are_bad_in_themselves_are_rejects_with_their_lines(block_bytes: int) -> None:
    content = b'[{"a":1},\n{"a":NaN}, {"a":"\xff"},\n{"a":1,"a":2},\n[1], 7, {"a":"\\ud800"},\n{"a":1}{"a":2},\n{"a":3}\n]'
    staged = stage(content, "t.json", block_bytes=block_bytes)
    assert staged.column("a") == [1, 3]
    assert staged.reject_codes() == [
        (2, "json.invalid_element"),
        (2, "text.invalid_encoding"),
        (3, "json.duplicate_key"),
        (4, "json.not_an_object"),
        (4, "json.not_an_object"),
        (4, "json.invalid_element"),
        (5, "json.invalid_element"),
    ]
    assert staged.rejects[-1]["raw"] == '{"a":1}{"a":2}'
    lines = [file for file in staged.files if file.role == "lines"]
    assert len(lines) == 1


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize(
    ("content", "codes"),
    [
        ("[[1,2],[3],[4,5],6]", [(1, "csv.ragged_row"), (1, "json.not_a_list")]),
        ('[1,NaN,\n"\\x",2]', [(1, "json.invalid_element"), (2, "json.invalid_element")]),
    ],
)
def test_rows_and_values_are_rejected_too(content: str, codes: list[tuple[int, str]], block_bytes: int) -> None:
    staged = stage(content, "t.json", block_bytes=block_bytes)
    assert (staged.reject_codes(), len(staged.table)) == (codes, 2)


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("[]", "json.no_table"),
        ("{}", "json.no_table"),
        ("[{}, {}]", "json.no_table"),
        ("[[]]", "json.no_table"),
        (" 12 ", "json.no_table"),
        ('{"a":1,"a":2}', "json.no_table"),
        ('{"a":[{}],"a":[{}]}', "json.no_table"),
        ("[" * 100_000 + "]" * 100_000, "json.no_table"),
        ("nul", "json.invalid"),
        ("[1,]", "json.invalid"),
        ("[,1]", "json.invalid"),
        ("[1,,2]", "json.invalid"),
        ('[{"a":1},]', "json.invalid"),
        ('[{"a":1},,{"a":1}]', "json.invalid"),
        ('[{"a":1}}', "json.invalid"),
        ('[{"a":1}] x', "json.invalid"),
        ('[{"a":1}, truth]', "json.invalid"),
        ('["x", truth]', "json.invalid"),
        ("[1 2]", "json.invalid"),
        ('{"a":1}}', "json.invalid"),
        ('{"a":1]', "json.invalid"),
        ('{"a":1,}', "json.invalid"),
        ("{1:1}", "json.invalid"),
        ('{"a":tru}', "json.invalid"),
        ('{"items":[{"a":1}],"b":tru}', "json.invalid"),
        ('[{"a":1},{"a":2}', "json.truncated"),
        ('[{"a":1},', "json.truncated"),
        ('[{"a":"1},{"a":2}]', "json.truncated"),
        ('{"a":1', "json.truncated"),
        ("[" * 100_000, "json.truncated"),
        ('{"a":' * 100_000, "json.truncated"),
        (gzip.compress(b'[{"a":1}]' * 1)[:-9], "gzip.truncated"),
    ],
)
def test_documents_without_rows_and_what_is_no_document_are_told_apart(content: str | bytes, code: str, block_bytes: int) -> None:
    if len(content) < 1000 or block_bytes > 1000:
        assert refusal(content, "t.json", block_bytes=block_bytes).code == code


@pytest.mark.parametrize("block_bytes", [700, 8 * 1024**2])
def test_an_element_that_is_too_long_is_one_reject_however_long_it_is(block_bytes: int) -> None:
    long = json.dumps({"a": "[{" * 5000, "b": ["\\"] * 3000})
    content = f'[{{"a": "1"}},\n{long},\n{{"a": "2"}}, "{"x" * 9000}",\n {{"a": "3"}}, {"[" * 4000}{"]" * 4000}]'
    staged = stage(content, "t.json", block_bytes=block_bytes, limits=Limits(max_record_bytes=1000))
    assert staged.column("a") == ["1", "2", "3"]
    assert staged.reject_codes() == [(line, "json.element_too_long") for line in (2, 3, 4)]


def test_one_row_may_not_be_longer_than_a_record() -> None:
    content = json.dumps({"a": ["x" * 500] * 4, "b": 1})
    assert refusal(content, "t.json", records="", limits=Limits(max_record_bytes=1000)).code == "json.too_large"


def test_too_many_columns_and_tables_are_named() -> None:
    limits = Limits(max_columns=3, max_child_tables=1)
    assert refusal('{"a":1,"b":2,"c":3,"d":4}', "t.json", limits=limits).code == "csv.too_many_columns"
    assert refusal('[{"a":1,"b":2},{"c":3,"d":4}]', "t.json", limits=limits).code == "csv.too_many_columns"
    assert refusal('[{"a":[{"x":1}],"b":[{"x":1}]}]', "t.json", limits=limits).code == "json.too_many_tables"


def test_types_that_were_asked_for_are_used() -> None:
    staged = stage('[{"a":"007"},{"a":"x"}]', "t.json", types={"a": "int64"})
    assert (staged.column("a"), staged.reject_codes()) == ([7], [(1, "text.wrong_type")])
    assert refusal('[{"a":1}]', "t.json", types={"z": "int64"}).code == "request.invalid"


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
CELLS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), FLOATS, st.text(alphabet='ab0é\n"\\[]{}, ', max_size=4))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    keys = draw(st.lists(st.sampled_from(["a", "b c", 'q"', "é[", "z"]), min_size=1, max_size=3, unique=True))
    return keys, draw(st.lists(st.lists(CELLS, min_size=len(keys), max_size=len(keys)), min_size=1, max_size=6))


def written(keys: list[str], rows: list[list[Any]], shape: str, indent: int | None) -> str:
    objects = [dict(zip(keys, row, strict=True)) for row in rows]
    document = {
        "objects": objects,
        "envelope": {"n": 1, "rows": objects, "more": {"x": []}},
        "rows": [keys, *rows],
        "columns": {key: [row[number] for row in rows] for number, key in enumerate(keys)},
    }[shape]
    return json.dumps(document, indent=indent, ensure_ascii=indent is None)


def same(found: Any, value: Any, type_: str) -> bool:
    if type_ != "string" or value is None:
        return bool(found == value or (type_ == "double" and found is not None and math.isclose(found, value)))
    return bool(found == value if isinstance(value, str) else json.loads(found) == value)


@given(
    tables(),
    st.sampled_from(["objects", "envelope", "rows", "columns"]),
    st.sampled_from([None, 0, 2]),
    st.sampled_from([1, 7, 60, 10**6]),
)
def test_any_table_comes_back_from_every_shape_in_any_blocks(
    table: tuple[list[str], list[list[Any]]], shape: str, indent: int | None, block_bytes: int
) -> None:
    keys, rows = table
    content = written(keys, rows, shape, indent)
    staged = stage(content, "t.json", block_bytes=block_bytes)
    assert staged.rejects == []
    assert [column.source_name for column in staged.product.columns] == keys
    for number, column in enumerate(staged.product.columns):
        found = staged.column(column.name)
        assert len(found) == len(rows)
        assert all(same(one, row[number], column.type) for one, row in zip(found, rows, strict=True))
    whole = stage(content, "t.json")
    assert (staged.product, staged.table.equals(whole.table)) == (whole.product, True)


SEEDS = [
    b'[{"a":1,"b":{"c":"x"}},\n {"a":2.5,"d":[{"e":1},{"e":null}]}]',
    b'{"m":1,"items":[{"a":"\\u00e9"},{"a":"\\\\"}],"t":[1,2]}',
    b'[["x","y"],[1,2],[3,"\xc3\xa9"]]',
    b'{"a":[1,2,3],"b":["x","y","z"]}',
    b'[1,"two",null,true,-3e5]',
]


@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.integers(0, 80), st.integers(0, 3), st.sampled_from(list(b'[]{},:"\\ \n0e-.a\xff\x00tnN'))), max_size=4
    ),
    st.sampled_from([1, 5, 10**6]),
)
def test_any_bytes_give_tables_or_a_typed_error_in_any_blocks(
    seed: bytes, changes: list[tuple[int, int, int]], block_bytes: int
) -> None:
    data = bytearray(seed)
    for position, what, byte in changes:
        place = position % (len(data) + 1)
        data[place : place + (what != 0)] = b"" if what == 3 else bytes([byte])
    results = []
    for size in (block_bytes, 8 * 1024**2):
        try:
            staged, rows = stage_all(bytes(data), "t.json", block_bytes=size, format="json")
            results.append(repr((staged.tables, rows)))
        except UserError as error:
            results.append(error.code)
    assert results[0] == results[1]

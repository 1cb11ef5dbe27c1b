"""JSON Lines: every line becomes a row or a reject; keys become columns whenever they come up."""

import gzip
import json
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import refusal, stage

BLOCKS = [40, 8 * 1024**2]


def lines(*objects: Any) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def test_objects_become_typed_rows() -> None:
    staged = stage(lines({"n": 1, "x": 1.5, "t": "a", "b": True}, {"n": None, "x": 2, "t": "", "b": False}), "t.jsonl")
    assert staged.recipe.format == "jsonl"
    assert staged.types == {"n": "int64", "x": "double", "t": "string", "b": "bool"}
    assert staged.table.to_pylist() == [{"n": 1, "x": 1.5, "t": "a", "b": True}, {"n": None, "x": 2.0, "t": "", "b": False}]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_bad_lines_are_rejects_with_their_lines(block_bytes: int) -> None:
    content = b'{"a":1}\n{"a":\n[1]\n"x"\n\n   \n{"a":2} x\n{"a":\xff}\n{"a":"\\ud800"}\n'
    content += b'{"a":1,"a":2}\n{"a":NaN}\n{"a":3}{"a":4}\n{"a":5}'
    staged = stage(content, "t.jsonl", block_bytes=block_bytes)
    assert staged.column("a") == [1, 5]
    assert staged.reject_codes() == [
        (2, "jsonl.invalid_json"),
        (3, "jsonl.not_an_object"),
        (4, "jsonl.not_an_object"),
        (7, "jsonl.invalid_json"),
        (8, "text.invalid_encoding"),
        (9, "jsonl.invalid_json"),
        (10, "json.duplicate_key"),
        (11, "jsonl.invalid_json"),
        (12, "jsonl.invalid_json"),
    ]
    assert staged.rejects[1]["raw"] == "[1]"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"a":"\xff"}', "text.invalid_encoding"),
        (b'{"a":"x"}{"a":"y"}', "jsonl.invalid_json"),
        (b'{"a":"x","a":"y"}', "json.duplicate_key"),
        (b'["a"]', "jsonl.not_an_object"),
        (b'{"a":"x"},', "jsonl.invalid_json"),
    ],
)
def test_one_bad_line_among_good_ones_is_seen(line: bytes, code: str) -> None:
    staged = stage(b'{"a":"1"}\n' * 3000 + line + b"\n" + b'{"a":"2"}\n', "t.jsonl", block_bytes=16_000)
    assert len(staged.table) == 3001
    assert staged.reject_codes() == [(3001, code)]


def test_an_object_over_two_lines_is_two_bad_lines_even_if_the_count_is_right() -> None:
    """The parser would read one object from two lines and two from another: as many rows as lines."""
    staged = stage('{"a":1}\n{"a":\n2}\n{"a":3}{"a":4}\n', "t.jsonl")
    assert staged.column("a") == [1]
    assert [line for line, _code in staged.reject_codes()] == [2, 3, 4]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_keys_may_be_missing_and_may_come_late(block_bytes: int) -> None:
    staged = stage(lines(*[{"a": 1}] * 50, {"b c": "x", "a": 2}, {}), "t.jsonl", block_bytes=block_bytes)
    assert [(c.name, c.source_name) for c in staged.product.columns] == [("a", "a"), ("b_c", "b c")]
    assert staged.column("b_c") == [None] * 50 + ["x", None]
    assert staged.column("a")[-2:] == [2, None]


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize(
    ("usual", "late", "type_", "first", "last"),
    [
        (1, 1.5, "double", 1.0, 1.5),
        (1, "x", "string", "1", "x"),
        (1, True, "string", "1", "true"),
        (1, {"k": 1.0}, "string", "1", '{"k":1.0}'),
        (1, 9007199254740993, "int64", 1, 9007199254740993),
        (1.5, 9007199254740993, "string", "1.5", "9007199254740993"),
        (1, 2**63, "string", "1", str(2**63)),
        ("x", [1, None, "é"], "string", "x", '[1,null,"é"]'),
        (None, 5, "int64", None, 5),
        (None, "NA", "string", None, "NA"),
        ("007", "008", "string", "007", "008"),
        ("1", "2", "string", "1", "2"),
        ("2024-01-01", "2024-01-02", "date32[day]", date(2024, 1, 1), date(2024, 1, 2)),
        ("2024-01-01", "", "string", "2024-01-01", ""),
        ("2024-01-01", "NA", "string", "2024-01-01", "NA"),
        ("2024-01-01", " 2024-01-02", "string", "2024-01-01", " 2024-01-02"),
        (
            "2024-01-01",
            "2024-01-02T10:00",
            "timestamp[us]",
            datetime.fromisoformat("2024-01-01"),
            datetime.fromisoformat("2024-01-02T10:00"),
        ),
        ("2024-01-01", 20240102, "string", "2024-01-01", "20240102"),
    ],
)
def test_a_late_value_decides_for_the_whole_column(
    block_bytes: int, usual: Any, late: Any, type_: str, first: Any, last: Any
) -> None:
    staged = stage(lines(*[{"a": usual, "b": 1}] * 60, {"a": late, "b": 2}), "t.jsonl", block_bytes=block_bytes)
    assert staged.types == {"a": type_, "b": "int64"}
    assert (staged.column("a")[0], staged.column("a")[-1]) == (first, last)
    assert staged.rejects == []


def test_numbers_in_nested_values_keep_every_digit() -> None:
    staged = stage('{"a": {"x": 1.10, "y": [12345678901234567890, 1e400]}, "b": 0.1}\n', "t.jsonl")
    assert staged.column("a") == ['{"x":1.10,"y":[12345678901234567890,1e400]}']


def test_deep_nesting_is_a_reject_and_no_crash() -> None:
    content = '{"a":1}\n{"a":' + "[" * 100_000 + "]" * 100_000 + "}\n"
    assert stage(content, "t.jsonl").reject_codes() == [(2, "json.too_deep")]


def test_types_that_were_asked_for_are_used_and_misfits_are_rejects() -> None:
    staged = stage(
        lines({"a": "007", "b": 1}, {"a": "x", "b": 2}, {"a": None, "b": 3}), "t.jsonl", types={"a": "int64", "b": "string"}
    )
    assert staged.types == {"a": "int64", "b": "string"}
    assert staged.table.to_pylist() == [{"a": 7, "b": "1"}, {"a": None, "b": "3"}]
    assert [(r["line"], r["column"], r["code"]) for r in staged.rejects] == [(2, "a", "text.wrong_type")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"[1,2]\n3\n", "jsonl.not_objects"),
        (b"{}\n{}\n", "jsonl.not_objects"),
        (b'{\n  "a": 1\n}\n{\n', "jsonl.not_objects"),
        (b"\n \n", "file.empty"),
        (lines({str(number): 1 for number in range(20)}).encode(), "csv.too_many_columns"),
        (gzip.compress(b'{"a":1}\n' * 500)[:-9], "gzip.truncated"),
    ],
)
def test_files_without_usable_objects_are_refused(content: bytes, code: str) -> None:
    assert refusal(content, "t.jsonl.gz", limits=Limits(max_columns=10)).code == code


def test_types_of_columns_that_never_come_up_are_refused() -> None:
    assert refusal('{"a":1}\n', "t.jsonl", types={"z": "int64"}).code == "request.invalid"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet='ab 0é\n"\\', max_size=4),
    st.sampled_from(["2024-01-01", "2024-01-01T10:00:00Z", "007", "NA"]),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2))


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c d"]), VALUES), min_size=1, max_size=8), st.sampled_from([9, 50, 10**6])
)
def test_blocks_change_nothing_and_texts_come_back(objects: list[dict[str, Any]], block_bytes: int) -> None:
    content = lines({"a": None}, *objects)
    whole = stage(content, "t.jsonl")
    cut = stage(content, "t.jsonl", block_bytes=block_bytes)
    assert cut.product == whole.product
    assert cut.table.equals(whole.table)
    assert whole.rejects == []
    for column in whole.product.columns:
        values = [one.get(str(column.source_name)) for one in objects]
        if column.type in ("int64", "bool"):
            assert whole.column(column.name)[1:] == values
        if column.type == "string":
            found = whole.column(column.name)[1:]
            assert [_meaning(text, value) for text, value in zip(found, values, strict=True)] == values


def _meaning(text: str | None, value: Any) -> Any:
    """What a staged text says of a value that was a text itself, or was written as JSON."""
    return text if isinstance(value, str | None) else json.loads(str(text))

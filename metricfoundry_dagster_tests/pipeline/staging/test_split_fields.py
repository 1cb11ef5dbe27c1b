"""The fields of one record, in every dialect."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.staging.split_fields import FieldRule, split_fields, split_values

PLAIN = FieldRule(",", '"')


@pytest.mark.parametrize(
    ("record", "rule", "fields"),
    [
        ("a,b", PLAIN, ["a", "b"]),
        ("", PLAIN, [""]),
        (",", PLAIN, ["", ""]),
        ('"a,b",c', PLAIN, ["a,b", "c"]),
        ('"a ""b""",c', PLAIN, ['a "b"', "c"]),
        ('a "b",c', PLAIN, ['a "b"', "c"]),
        ('"a', PLAIN, ["a"]),
        ('"a"b,c', PLAIN, ["ab", "c"]),
        ('a, "b, c"', FieldRule(",", '"', skip_spaces=True), ["a", "b, c"]),
        ("a,  b", FieldRule(",", None, skip_spaces=True), ["a", "b"]),
        ('"a" ,b', FieldRule(",", '"', skip_spaces=True), ["a", "b"]),
        (r'"a \"b\", c",d', FieldRule(",", '"', "\\"), ['a "b", c', "d"]),
        (r'"a\\",b', FieldRule(",", '"', "\\"), ["a\\", "b"]),
        (r'"a\n",b\"c', FieldRule(",", '"', "\\"), [r"a\n", r"b\"c"]),
        ("'a, b',c", FieldRule(",", "'"), ["a, b", "c"]),
    ],
)
def test_fields_are_told_apart(record: str, rule: FieldRule, fields: list[str]) -> None:
    assert split_fields(record, rule) == fields


def test_nothing_is_told_from_an_empty_text() -> None:
    assert split_values(',"",a', PLAIN) == [None, "", "a"]


@given(st.lists(st.text(st.sampled_from('ab,"\n ')), min_size=1, max_size=5))
def test_what_the_standard_library_writes_is_read_back(fields: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="", quoting=csv.QUOTE_ALL).writerow(fields)
    assert split_fields(text.getvalue(), PLAIN) == fields


@given(st.lists(st.text(st.sampled_from('ab,"\\ ')), min_size=1, max_size=5))
def test_what_is_escaped_is_read_back(fields: list[str]) -> None:
    rule = FieldRule(",", '"', "\\", skip_spaces=True)
    record = ", ".join('"' + field.replace("\\", "\\\\").replace('"', '\\"') + '"' for field in fields)
    assert split_fields(record, rule) == fields

"""What texts can be: nothing changes its value by becoming typed, and the order of the texts does not matter."""

import math
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.staging.text_kinds import Kind, convert, is_utf8, join, kind_of, likely_kind, unfit

NUMBERS = ["1", "-5", "0", " 7 ", "1.5", ".5", "5.", "1e3", "1e20", "1e400", "inf", "-Infinity"]
LARGE = ["9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.5", "9223372036854775808"]
ODD = ["007", "-07", " 007", "+5", "0x1F", "1_000", "-", ".", "abc", "yes", "nan(1)", "NAN", "10:00", "2024-1-1"]
TIMES = ["2024-02-29", "2024-02-30", "2024-01-01 10:00", "2024-01-01T10:00:00.123456", "2024-01-01T10:00:00.1234567"]
OTHERS = ["2024-01-01T10:00:00Z", "2024-01-01 10:00:00+02:00", "true", "False", "", " ", "NA", "nan", "\\N"]
TEXTS = st.sampled_from([*NUMBERS, *LARGE, *ODD, *TIMES, *OTHERS])


def kind(*texts: str | None) -> Kind:
    return kind_of(pa.array(texts, pa.string()))


def converted(texts: list[str | None]) -> list[Any]:
    array = pa.array(texts, pa.string())
    values: list[Any] = convert(array, kind_of(array)).to_pylist()
    return values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", Kind.INT),
        ("-0", Kind.INT),
        ("9007199254740991", Kind.INT),
        ("9007199254740992", Kind.BIG),
        ("-9007199254740992", Kind.BIG),
        ("9223372036854775807", Kind.BIG),
        ("9223372036854775808", Kind.TEXT),
        ("00123", Kind.TEXT),
        ("-07", Kind.TEXT),
        ("007.5", Kind.TEXT),
        ("0x1F", Kind.TEXT),
        ("+5", Kind.TEXT),
        ("1_000", Kind.TEXT),
        ("1e3", Kind.FLOAT),
        ("1e20", Kind.FLOAT),
        ("1e400", Kind.TEXT),
        ("9007199254740993.0", Kind.TEXT),
        ("nan(1)", Kind.TEXT),
        ("TRUE", Kind.BOOL),
        ("yes", Kind.TEXT),
        ("2024-02-29", Kind.DATE),
        ("2023-02-29", Kind.TEXT),
        ("2024-01-01 25:00", Kind.TEXT),
        ("2024-01-01T10:00:00.1234567", Kind.TEXT),
        ("2024-01-01T10:00:00Z", Kind.ZONED),
        ("10:00", Kind.TEXT),
        ("NA", Kind.NULL),
        ("  ", Kind.NULL),
    ],
)
def test_one_text_has_one_kind(text: str, expected: Kind) -> None:
    assert kind(text) is expected


def test_mixtures_widen_only_where_nothing_is_lost() -> None:
    assert kind("1", "1.5") is Kind.FLOAT
    assert kind("9007199254740993", "1") is Kind.BIG
    assert kind("9007199254740993", "1.5") is Kind.TEXT
    assert kind("2024-01-01", "2024-01-01 10:00") is Kind.TIME
    assert kind("2024-01-01 10:00", "2024-01-01T10:00Z") is Kind.TEXT
    assert kind("true", "1") is Kind.TEXT
    assert kind(None, "1", "NA", "") is Kind.INT
    assert kind(None) is Kind.NULL


def test_kinds_join() -> None:
    assert join(Kind.INT, Kind.BIG) is Kind.BIG
    assert join(Kind.INT, Kind.FLOAT) is Kind.FLOAT
    assert join(Kind.BIG, Kind.FLOAT) is Kind.TEXT
    assert join(Kind.INT, Kind.BIG, Kind.FLOAT) is Kind.TEXT
    assert join(Kind.DATE, Kind.TIME) is Kind.TIME
    assert join(Kind.TIME, Kind.ZONED) is Kind.TEXT
    assert join(Kind.NULL, Kind.BOOL) is Kind.BOOL
    assert join() is Kind.NULL


def test_values_convert_to_what_they_say() -> None:
    assert converted(["1", " 2 ", "NA", None]) == [1, 2, None, None]
    assert converted(["1.5", "-inf", "nan"]) == [1.5, -math.inf, None]
    assert converted(["true", "FALSE", "null"]) == [True, False, None]
    assert converted(["2024-02-29"]) == [date(2024, 2, 29)]
    times: list[Any] = ["2024-02-29", "2024-02-29 01:02:03.5"]
    assert converted(times) == [datetime.fromisoformat(time) for time in times]
    assert converted(["2024-02-29T01:00+01:00"])[0].isoformat() == "2024-02-29T00:00:00+00:00"
    assert converted(["NA", "x", ""]) == ["NA", "x", ""]


@given(st.lists(TEXTS, max_size=6), st.integers(0, 6))
def test_the_kind_of_a_column_is_the_join_of_its_parts(texts: list[str], middle: int) -> None:
    whole = kind(*texts)
    assert join(kind(*texts[:middle]), kind(*texts[middle:])) is whole
    assert join(*(kind(text) for text in texts)) is whole


@given(st.lists(TEXTS, max_size=6))
def test_typed_values_are_the_numbers_that_were_written(texts: list[str]) -> None:
    array = pa.array(texts, pa.string())
    whole = kind_of(array)
    for text, value in zip(texts, convert(array, whole).to_pylist(), strict=True):
        if whole in (Kind.INT, Kind.BIG) and value is not None:
            assert str(value) == text.strip()
        if whole is Kind.FLOAT and value is not None:
            assert value == float(text)
        if whole in (Kind.TEXT, Kind.NULL):
            assert value == text


@given(TEXTS)
def test_the_cheap_look_is_never_narrower_than_the_exact_one(text: str) -> None:
    assert kind(text) in (likely_kind(text), Kind.TEXT, Kind.BIG)


def test_a_type_that_was_asked_for_takes_leading_zeros_but_nothing_else_strange() -> None:
    texts = pa.array(["007", "x", "0x1F", None, "NA", "99999999999999999999", "1.5"])
    assert unfit(texts, Kind.INT).to_pylist() == [False, True, True, False, False, True, True]
    assert unfit(pa.array(["true", "1", None]), Kind.BOOL).to_pylist() == [False, True, False]


@given(st.binary(max_size=12))
def test_utf8_is_told_as_python_tells_it(data: bytes) -> None:
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_utf8(data) is valid

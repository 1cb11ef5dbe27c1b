"""A cast gives exactly the same value or nothing."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.validation.arrow_frames import to_frame
from metricfoundry_dagster.pipeline.validation.exact_casts import arrow_type, exact_cast, polars_type

stamp = datetime.fromisoformat
NAMES = [
    *("bool", "int8", "int64", "uint8", "uint64", "float", "double", "string", "date32[day]", "time32[ms]", "time64[ns]"),
    *(
        "timestamp[s]",
        "timestamp[ms]",
        "timestamp[us, tz=Europe/Berlin]",
        "timestamp[ns]",
        "decimal128(10, 2)",
        "decimal128(38, 0)",
    ),
]


def cast(values: list[Any], source: str | pa.DataType, target: str) -> list[Any]:
    """The values, of the type `source`, cast."""
    column = pa.array(values, arrow_type(source) if isinstance(source, str) else source)
    frame = to_frame(pa.record_batch({"x": column}))
    after = frame.select(exact_cast(pl.col("x"), frame.schema["x"], target)).to_series()
    assert after.dtype == polars_type(target)
    return after.to_list()


@pytest.mark.parametrize(
    ("source", "target", "pairs"),
    [
        (
            "string",
            "int64",
            {"12": 12, "-7": -7, "+5": 5, "007": 7, "1.5": None, "1e3": None, " 1": None, "1_000": None, "0x1F": None},
        ),
        ("string", "int64", {"9223372036854775807": 2**63 - 1, "9223372036854775808": None, "": None, "one": None}),
        ("string", "uint8", {"255": 255, "256": None, "-1": None}),
        (
            "string",
            "double",
            {"1.5": 1.5, "1e3": 1000.0, ".5": 0.5, "5.": 5.0, "1e400": None, "nan": None, "inf": None, "1,5": None},
        ),
        (
            "string",
            "decimal128(10, 2)",
            {"1.50000": Decimal("1.50"), "0001.5": Decimal("1.50"), "1.555": None, "123456789": None},
        ),
        ("string", "decimal128(1, 1)", {"0.5": Decimal("0.5"), ".5": Decimal("0.5"), "1": None, "1e0": None, ".": None}),
        ("string", "bool", {"true": True, "False": False, "1": None, "yes": None, "": None}),
        (
            "string",
            "date32[day]",
            {"2020-02-29": date(2020, 2, 29), "2021-02-29": None, "2020-01-02T00:00": None, "20200102": None},
        ),
        (
            "string",
            "time64[us]",
            {"03:04": time(3, 4), "03:04:05.5": time(3, 4, 5, 500000), "24:00": None, "03:04:05.0000001": None},
        ),
        ("string", "time32[ms]", {"03:04:05.500": time(3, 4, 5, 500000), "03:04:05.0005": None}),
        (
            "string",
            "timestamp[us]",
            {
                "2020-01-02": stamp("2020-01-02"),
                "2020-01-02 03:04": stamp("2020-01-02T03:04"),
                "2020-01-02T03:04:05.123456000": stamp("2020-01-02T03:04:05.123456"),
                "2020-01-02T03:04:05.1234567": None,
                "2020-01-02T03:04:05Z": stamp("2020-01-02T03:04:05"),
                "2020-01-02T03:04+02:00": stamp("2020-01-02T01:04"),
                "2020-01-02T03:04:05-0230": stamp("2020-01-02T05:34:05"),
                "0001-01-01": stamp("0001-01-01"),
                "9999-12-31T23:59:59": stamp("9999-12-31T23:59:59"),
                "2020-01-02Z": None,
                "2020-01-02T24:00": None,
                "2020-01-02T23:59:60": None,
                "02/01/2020": None,
            },
        ),
        ("string", "timestamp[ms]", {"2020-01-02T03:04:05": stamp("2020-01-02T03:04:05"), "2020-01-02T03:04:05.0005": None}),
        ("string", "timestamp[ns]", {"2020-01-02": stamp("2020-01-02"), "3000-01-01": None, "0001-01-01": None}),
        ("int64", "double", {2**53: 2.0**53, 2**53 + 1: None, 2**63 - 1: None, 0: 0.0}),
        ("int64", "uint8", {255: 255, 256: None, -1: None}),
        ("int64", "bool", {0: False, 1: True, 2: None}),
        ("int64", "string", {-7: "-7"}),
        ("int64", "timestamp[us]", {0: None}),
        ("int64", "decimal128(10, 2)", {100: Decimal("100.00"), 10**9: None}),
        ("bool", "int64", {True: 1, False: 0}),
        ("bool", "double", {True: None}),
        ("bool", "string", {True: "true", False: "false"}),
        ("double", "int64", {1.0: 1, 1.5: None, float("inf"): None, 2.0**63: None}),
        ("double", "float", {0.5: 0.5, 0.1: None, 1e300: None, float("inf"): float("inf")}),
        ("double", "string", {0.1: "0.1", 1.0: "1.0"}),
        ("double", "decimal128(10, 2)", {0.1: Decimal("0.10"), 0.125: None}),
        ("decimal128(10, 2)", "int64", {Decimal("2.00"): 2, Decimal("2.50"): None}),
        ("date32[day]", "timestamp[us]", {date(2020, 1, 2): stamp("2020-01-02")}),
        ("date32[day]", "timestamp[ns]", {date(3000, 1, 1): None}),
        ("date32[day]", "string", {date(2020, 1, 2): "2020-01-02"}),
        ("timestamp[us]", "date32[day]", {stamp("2020-01-02"): date(2020, 1, 2), stamp("2020-01-02T01:00"): None}),
        ("timestamp[us]", "timestamp[ms]", {stamp("2020-01-02"): stamp("2020-01-02"), stamp("2020-01-02T00:00:00.0005"): None}),
        ("timestamp[us]", "string", {stamp("2020-01-02T03:04:05.000006"): "2020-01-02T03:04:05.000006"}),
        ("timestamp[us, tz=UTC]", "string", {datetime(2020, 1, 2, tzinfo=UTC): "2020-01-02T00:00:00Z"}),
        ("timestamp[us, tz=Europe/Berlin]", "timestamp[us]", {datetime(2020, 1, 2, tzinfo=UTC): stamp("2020-01-02")}),
        ("timestamp[us]", "timestamp[us, tz=Europe/Berlin]", {stamp("2020-01-02"): datetime(2020, 1, 2, tzinfo=UTC)}),
        ("time64[us]", "time32[ms]", {time(1, 2, 3, 4000): time(1, 2, 3, 4000), time(1, 2, 3, 4): None}),
        ("time64[us]", "string", {time(1, 2, 3, 500000): "01:02:03.500"}),
    ],
)
def test_a_value_is_kept_exactly_or_not_at_all(source: str, target: str, pairs: dict[Any, Any]) -> None:
    assert cast([*pairs, None], source, target) == [*pairs.values(), None]


@pytest.mark.parametrize("source", [pa.list_(pa.int64()), pa.struct({"a": pa.int64()}), pa.null()])
@pytest.mark.parametrize("target", NAMES)
def test_nested_values_have_no_counterpart(source: pa.DataType, target: str) -> None:
    value = None if pa.types.is_null(source) else [1] if pa.types.is_list(source) else {"a": 1}
    assert cast([value, None], source, target) == [None, None]


@pytest.mark.parametrize("name", NAMES)
def test_a_type_is_found_by_the_name_that_it_prints(name: str) -> None:
    assert str(arrow_type(name)) == name


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()),
    st.sampled_from(["int8", "uint64", "float", "double", "string", "decimal128(10, 2)"]),
)
def test_casting_there_and_back_changes_no_value_that_has_a_counterpart(values: list[int | None], target: str) -> None:
    there = cast(values, "int64", target)
    back = cast(there, target, "int64")
    assert back == [value if found is not None else None for value, found in zip(values, there, strict=True)]
    assert all(found is None for value, found in zip(values, there, strict=True) if value is None)


@given(st.lists(st.datetimes(min_value=stamp("1678-01-01"), max_value=stamp("2262-01-01"))), st.sampled_from(["us", "ns"]))
def test_a_time_stamp_written_as_text_is_read_back(values: list[datetime], unit: str) -> None:
    texts = cast(values, "timestamp[us]", "string")
    assert cast(texts, "string", f"timestamp[{unit}]") == values
    zoned = cast([f"{text}+02:00" for text in texts], "string", "timestamp[us, tz=Europe/Berlin]")
    assert zoned == [datetime.fromisoformat(f"{value.isoformat()}+02:00") for value in values]

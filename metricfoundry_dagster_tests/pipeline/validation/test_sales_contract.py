"""The built-in contract `sales` gives the verdicts of the Pandera model that states it."""

from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors

from metricfoundry_dagster.adapters.contract_files import ContractFilesInDirectory
from metricfoundry_dagster.domain.contracts import Contract
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.pipeline.validation.sales_contract import Sales
from metricfoundry_dagster_tests.pipeline.validation.staged_tables import ValidationHouse, bad_rows

START = datetime.fromisoformat("2024-01-01")
NAN = float("nan")
#: What a generated cell holds: mostly good values, and some that break a rule or are missing.
CELLS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "TransactionTimestamp": (pa.timestamp("us"), [START] * 9 + [None]),
    "ProductLine": (pa.string(), ["Food", "Toys", "", "Ünïcode"] * 3 + [None]),
    "Quantity": (pa.int64(), [1, 2, 3, 10**9] * 4 + [0, -1, None]),
    "UnitPrice": (pa.float64(), [0.0, 9.99, 1e300] * 4 + [-0.01, None, NAN, float("-inf")]),
    "TransactionID": (pa.string(), ["1", "2"] * 8 + [None]),
    "ProductID": (pa.string(), ["p", None]),
    "Currency": (pa.string(), ["EUR", "USD", None] * 4 + ["eur", "EURO", "EUR\n", ""]),
    "Discount": (pa.float64(), [0.0, 0.5, None, NAN] * 4 + [-0.5]),
    "Rating": (pa.float64(), [0.0, 5.5, 10.0, None] * 4 + [-0.1, 10.1]),
}
_PANDERA_CODES = {
    "not_nullable": "null_value",
    "greater_than": "below_minimum",
    "greater_than_or_equal_to": "below_minimum",
    "str_matches": "pattern_mismatch",
}


@pytest.fixture
def sales(tmp_path: Path) -> Contract:
    """The contract as `--contract sales` gives it."""
    return read_contract(ContractFilesInDirectory(tmp_path).read("sales"))


def generate(rows: int, seed: int) -> pa.Table:
    random = Random(seed)
    return pa.table(
        {name: pa.array([random.choice(values) for _ in range(rows)], type_) for name, (type_, values) in CELLS.items()}
    )


def pandera_verdict(rows: pa.Table) -> dict[int, list[str]]:
    """By Pandera, eagerly, schema and data: for each bad row, from 1, what it breaks."""
    found: dict[int, set[str]] = {}
    frame = pl.DataFrame(pl.from_arrow(rows))
    with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            Sales.validate(frame, lazy=True)
        except SchemaErrors as errors:
            for case in errors.failure_cases.iter_rows(named=True):
                check = case["check"].partition("(")[0]
                code = _PANDERA_CODES.get(check) or ("below_minimum" if float(case["failure_case"]) < 0 else "above_maximum")
                found.setdefault(case["index"] + 1, set()).add(f"{case['column']} {code}")
    return {row: sorted(codes) for row, codes in sorted(found.items())}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_contract_judges_each_row_as_pandera_does(house: ValidationHouse, sales: Contract, seed: int) -> None:
    rows = generate(500, seed)
    expected = pandera_verdict(rows)
    assert len(expected) > 100
    result = house.validate(house.stage(rows, part_rows=[200, 300]), sales, batch_rows=64)
    assert {row: sorted(codes) for row, codes in bad_rows(house.quarantine(result)).items()} == expected


def test_columns_that_are_not_required_may_be_missing(house: ValidationHouse, sales: Contract) -> None:
    rows = generate(20, 4).select(["TransactionTimestamp", "ProductLine"])
    result = house.validate(house.stage(rows), sales)
    assert result.error is None
    expected = {
        row: [code for code in codes if code.split()[0] in rows.column_names]
        for row, codes in pandera_verdict(generate(20, 4)).items()
    }
    assert bad_rows(house.quarantine(result)) == {row: codes for row, codes in expected.items() if codes}


def test_the_time_column_is_the_time_stamp(sales: Contract) -> None:
    assert sales.name == "sales"
    assert sales.time_column == "TransactionTimestamp"
    assert [rule.name for rule in sales.columns if rule.required] == ["TransactionTimestamp", "ProductLine"]


def test_text_of_a_csv_is_judged_as_the_types_that_the_contract_asks_for(house: ValidationHouse, sales: Contract) -> None:
    columns = {
        "TransactionTimestamp": ["2024-01-01T10:00:00Z", "yesterday"],
        "ProductLine": ["Food", "Toys"],
        "Quantity": ["2", "2.5"],
        "UnitPrice": ["9.99", "free"],
    }
    result = house.judge(columns, sales)
    assert house.valid(result).to_pylist() == [
        {
            "TransactionTimestamp": datetime.fromisoformat("2024-01-01T10:00:00"),
            "ProductLine": "Food",
            "Quantity": 2,
            "UnitPrice": 9.99,
        }
    ]
    assert bad_rows(house.quarantine(result)) == {
        2: ["TransactionTimestamp wrong_type", "Quantity wrong_type", "UnitPrice wrong_type"]
    }

"""One table against a contract: what goes on, what is put aside and why, and when the gate closes."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from metricfoundry_dagster.domain.contracts import ColumnRule, Contract
from metricfoundry_dagster.domain.errors import InternalError
from metricfoundry_dagster.domain.findings import Severity
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster_tests.pipeline.validation.staged_tables import ValidationHouse, bad_rows, contract_of

stamp = datetime.fromisoformat


def test_a_row_that_breaks_three_rules_is_one_quarantine_row_with_three_reasons(house: ValidationHouse) -> None:
    contract = contract_of(
        ColumnRule("quantity", type="int64", above=0),
        ColumnRule("price", type="double", minimum=0),
        ColumnRule("line", allowed=("food", "toys")),
    )
    result = house.judge({"quantity": [1, 0], "price": [2.5, -1.0], "line": ["food", "cars"]}, contract)
    assert house.valid(result).to_pylist() == [{"quantity": 1, "price": 2.5, "line": "food"}]
    assert house.quarantine(result) == [
        {
            "source": "sales.csv",
            "line": None,
            "row": 2,
            "column": "quantity",
            "code": "contract.below_minimum",
            "reason": "quantity: 0 is not above 0; price: -1.0 is below the minimum 0; line: cars is not one of food, toys",
            "reasons": [
                {"column": "quantity", "code": "contract.below_minimum", "value": "0", "reason": "quantity: 0 is not above 0"},
                {
                    "column": "price",
                    "code": "contract.below_minimum",
                    "value": "-1.0",
                    "reason": "price: -1.0 is below the minimum 0",
                },
                {
                    "column": "line",
                    "code": "contract.not_in_set",
                    "value": "cars",
                    "reason": "line: cars is not one of food, toys",
                },
            ],
            "raw": '{"quantity":0,"price":-1.0,"line":"cars"}',
        }
    ]
    assert (result.table.rows_in, result.table.rows_out, result.table.rows_rejected) == (2, 1, 1)


def test_each_broken_rule_is_one_finding_with_count_and_first_examples(house: ValidationHouse) -> None:
    result = house.judge({"n": [*range(-7, 0), 1]}, contract_of(ColumnRule("n", minimum=0)))
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.count) == ("n|minimum", Severity.WARN, 7)
    assert finding.examples == tuple({"row": row, "value": str(row - 8)} for row in range(1, 6))


@pytest.mark.parametrize(
    ("rule", "values", "bad"),
    [
        (ColumnRule("c", nullable=False), [1, None, 3], {2: "null_value"}),
        (ColumnRule("c", minimum=2), [1, 2, None], {1: "below_minimum"}),
        (ColumnRule("c", above=2), [2, 3], {1: "below_minimum"}),
        (ColumnRule("c", maximum=2), [2, 3], {2: "above_maximum"}),
        (ColumnRule("c", below=2), [1, 2], {2: "above_maximum"}),
        (ColumnRule("c", minimum=1.5, maximum=2.5), [1, 2, 3], {1: "below_minimum", 3: "above_maximum"}),
        (ColumnRule("c", above=-(10**30), below=10**30), [-(2**63), 2**63 - 1], {}),
        (ColumnRule("c", minimum=10**30), [1, None], {1: "below_minimum"}),
        (ColumnRule("c", allowed=(1, 2.0, 2.5)), [1, 2, 3, None], {3: "not_in_set"}),
        (ColumnRule("c", allowed=(0.5,)), [0.5, 0.25, None], {2: "not_in_set"}),
        (ColumnRule("c", allowed=(True,)), [True, False, None], {2: "not_in_set"}),
        (ColumnRule("c", pattern="a|b"), ["a", "b", "ab", "", None], {3: "pattern_mismatch", 4: "pattern_mismatch"}),
        (
            ColumnRule("c", pattern="a."),
            ["ab", "a\n", "abc", "xab"],
            {2: "pattern_mismatch", 3: "pattern_mismatch", 4: "pattern_mismatch"},
        ),
        (ColumnRule("c", minimum="b"), ["a", "b", None], {1: "below_minimum"}),
        (ColumnRule("c", unique=True), [5, None, 5, None, 5, 6], {3: "duplicate", 5: "duplicate"}),
        (ColumnRule("c", minimum=date(2020, 1, 2)), [date(2020, 1, 1), date(2020, 1, 2)], {1: "below_minimum"}),
        (ColumnRule("c", below=date(2020, 1, 2)), [stamp("2020-01-01T23:00"), stamp("2020-01-02")], {2: "above_maximum"}),
        (
            ColumnRule("c", maximum=datetime(2020, 1, 1, 12, tzinfo=UTC)),
            [stamp("2020-01-01T12:00"), stamp("2020-01-01T12:00:00.000001")],
            {2: "above_maximum"},
        ),
        (ColumnRule("c", allowed=(date(2020, 1, 1),)), [date(2020, 1, 1), date(2020, 1, 2)], {2: "not_in_set"}),
        (ColumnRule("c", minimum=0.1), [Decimal("0.10"), Decimal("0.09")], {2: "below_minimum"}),
        (ColumnRule("c", allowed=(0.1, 2)), [Decimal("0.10"), Decimal("0.20"), Decimal("2.00")], {2: "not_in_set"}),
    ],
)
def test_a_null_breaks_nothing_but_nullable_and_bounds_are_exact(
    house: ValidationHouse, rule: ColumnRule, values: list[Any], bad: dict[int, str]
) -> None:
    result = house.judge({"c": values}, contract_of(rule))
    assert bad_rows(house.quarantine(result)) == {row: [f"c {code}"] for row, code in bad.items()}
    assert result.table.rows_out == len(values) - len(bad)


def test_nan_is_a_missing_value(house: ValidationHouse) -> None:
    nan = float("nan")
    loose = contract_of(ColumnRule("x", minimum=0, maximum=1, allowed=(0.5,), unique=True))
    assert house.judge({"x": [0.5, nan, nan]}, loose).table.rows_rejected == 0
    strict = house.judge({"x": [0.5, nan, None]}, contract_of(ColumnRule("x", nullable=False)))
    assert bad_rows(house.quarantine(strict)) == {2: ["x null_value"], 3: ["x null_value"]}


def test_values_that_fail_their_cast_are_put_aside_and_never_become_null(house: ValidationHouse) -> None:
    contract = contract_of(ColumnRule("n", type="int64", nullable=False, minimum=0), ColumnRule("t", type="timestamp[us]"))
    columns = {"n": ["12", "1.5", None, "-1", "7"], "t": ["2020-01-01", "2020-01-01T10:00:00Z", None, "soon", "2020-13-01"]}
    result = house.judge(columns, contract)
    assert house.valid(result).to_pylist() == [{"n": 12, "t": stamp("2020-01-01")}]
    assert bad_rows(house.quarantine(result)) == {
        2: ["n wrong_type"],
        3: ["n null_value"],
        4: ["n below_minimum", "t wrong_type"],
        5: ["t wrong_type"],
    }
    assert [(c.name, c.type, c.nullable) for c in result.table.columns] == [("n", "int64", False), ("t", "timestamp[us]", True)]


def test_parts_without_a_bad_row_are_listed_as_they_are(house: ValidationHouse) -> None:
    staged = house.stage(pa.table({"n": [1, 2, -3, 4, 5, 6]}), part_rows=[2, 2, 2])
    result = house.validate(staged, contract_of(ColumnRule("n", type="int64", minimum=0)))
    parts = [file for file in result.files if file.role == "part"]
    assert parts[0] == staged.parts[0]
    assert parts[1].key == "validated/1/t/part-00001.parquet"
    assert parts[2] == staged.parts[2]
    assert house.valid(result)["n"].to_pylist() == [1, 2, 4, 5, 6]
    assert house.quarantine(result)[0]["row"] == 3


def test_a_part_of_bad_rows_alone_is_left_out_but_a_table_keeps_its_columns(house: ValidationHouse) -> None:
    staged = house.stage(pa.table({"n": [-1, -2, 3]}), part_rows=[2, 1])
    some = house.validate(staged, contract_of(ColumnRule("n", minimum=0)))
    assert [file.key for file in some.files if file.role == "part"] == [staged.parts[1].key]
    none = house.validate(staged, contract_of(ColumnRule("n", type="string", pattern="x")))
    assert [file.rows for file in none.files if file.role == "part"] == [0]
    assert house.valid(none).schema == pa.schema({"n": pa.string()})


def test_a_key_is_unique_over_all_parts_and_its_first_row_stays(house: ValidationHouse) -> None:
    rows = pa.table({"a": ["1", "2", "1", None, "1", None], "b": ["x", "x", "x", "x", "y", "x"]})
    staged = house.stage(rows, part_rows=[2, 2, 2])
    result = house.validate(staged, contract_of(ColumnRule("a", type="int64"), unique=(("a", "b"),)), batch_rows=1)
    (row,) = house.quarantine(result)
    assert (row["row"], row["column"], row["code"]) == (3, "a+b", "contract.duplicate")
    assert row["reason"] == "a+b: a=1, b=x occurs in a row before"
    assert [finding.code for finding in result.findings] == ["a+b|unique"]


def test_a_rule_is_judged_by_itself_on_the_rows_as_staged(house: ValidationHouse) -> None:
    """The second row repeats the key of the first, though the first is bad for another reason."""
    contract = contract_of(ColumnRule("k", unique=True), ColumnRule("n", minimum=0))
    result = house.judge({"k": [1, 1], "n": [-1, 1]}, contract)
    assert bad_rows(house.quarantine(result)) == {1: ["n below_minimum"], 2: ["k duplicate"]}


def test_required_columns_that_are_missing_close_the_gate(house: ValidationHouse) -> None:
    contract = contract_of(ColumnRule("a"), ColumnRule("b"), ColumnRule("c", required=False), unique=(("a", "d"),))
    result = house.judge({"a": [1]}, contract)
    assert result.error is not None
    assert result.error.code == "contract.missing_column"
    assert result.error.message == "the table t has no column b, d"
    assert [(f.code, f.severity) for f in result.findings] == [("b|required", Severity.ERROR), ("d|required", Severity.ERROR)]


@pytest.mark.parametrize(
    ("settings", "limit", "closes"),
    [
        ({}, 0.5, False),
        ({}, 0.24, True),
        ({"max_quarantine_share": 0.25}, 0.0, False),
        ({"max_quarantine_share": 0.0}, 1.0, True),
        ({"on_bad_rows": "fail"}, 1.0, True),
    ],
)
def test_too_many_bad_rows_close_the_gate(house: ValidationHouse, settings: dict[str, Any], limit: float, closes: bool) -> None:
    contract = contract_of(ColumnRule("n", minimum=0), **settings)
    result = house.judge({"n": [-1, 1, 2, 3]}, contract, limits=Limits(max_quarantine_share=limit))
    assert (result.error is not None) == closes
    assert result.findings[0].severity is (Severity.ERROR if closes else Severity.WARN)
    if result.error is not None:
        assert result.error.code == "contract.too_many_bad_rows"
        assert "1 of 4 rows of t (25.00%) break the contract" in result.error.message


def test_a_share_that_is_just_allowed_holds(house: ValidationHouse) -> None:
    """0.29 of 100 rows is 29 rows, whatever binary fractions say."""
    contract = contract_of(ColumnRule("n", minimum=0), max_quarantine_share=0.29)
    assert house.judge({"n": [-1] * 29 + [1] * 71}, contract).error is None


def test_a_contract_that_asks_nothing_of_rows_reads_nothing(house: ValidationHouse) -> None:
    staged = house.stage(pa.table({"n": [1]}))
    house.store.delete(staged.parts[0].root, staged.parts[0].key)
    ghost = replace(staged, parts=())
    empty = replace(ghost, table=replace(staged.table, rows_in=0, rows_out=0))
    result = house.validate(empty, Contract("test", columns=(ColumnRule("n", minimum=0),)))
    assert (result.files, result.error, result.table.rows_in) == ((), None, 0)


def test_a_part_that_has_lost_rows_is_noticed(house: ValidationHouse) -> None:
    staged = house.stage(pa.table({"n": [1, 2]}))
    lying = replace(staged, parts=(replace(staged.parts[0], rows=3),))
    with pytest.raises(InternalError, match=r"validation\.out_of_balance"):
        house.validate(lying, contract_of(ColumnRule("n", minimum=0)))
    short = replace(staged, table=replace(staged.table, rows_out=3))
    with pytest.raises(InternalError, match=r"3 rows staged, 2 read, 2 valid, 0 quarantined"):
        house.validate(short, contract_of(ColumnRule("n", minimum=0)))


def test_a_rule_finds_its_column_by_its_name_in_the_source(house: ValidationHouse) -> None:
    staged = house.stage(pa.table({"unit_price": [1.0, -1.0], "other": [1, 2]}))
    columns = (
        replace(staged.table.columns[0], source_name="Unit Price"),
        replace(staged.table.columns[1], source_name="unit_price"),
    )
    named = replace(staged, table=replace(staged.table, columns=columns))
    by_source = house.validate(named, contract_of(ColumnRule("Unit Price", minimum=0)))
    assert bad_rows(house.quarantine(by_source)) == {2: ["unit_price below_minimum"]}
    by_name = house.validate(named, contract_of(ColumnRule("unit_price", minimum=0)))
    assert bad_rows(house.quarantine(by_name)) == {2: ["unit_price below_minimum"]}


def test_a_bound_without_a_type_makes_text_comparable(house: ValidationHouse) -> None:
    result = house.judge({"n": ["1", "-2", "x"]}, contract_of(ColumnRule("n", minimum=0)))
    assert bad_rows(house.quarantine(result)) == {2: ["n below_minimum"], 3: ["n wrong_type"]}
    assert house.valid(result).schema.field("n").type == pa.float64()


def test_columns_that_no_rule_names_go_through_untouched(house: ValidationHouse) -> None:
    """Every Arrow type survives, also those that the judging library does not know."""
    others = {
        "a.b": pa.array([{"c": 1}, {"c": None}, None]),
        "a": pa.array([{"b": 7}, {"b": 8}, {"b": 9}]),
        "list": pa.array([[1.5], [], None]),
        "bytes": pa.array([b"\xff", b"", None]),
        "dictionary": pa.array(["x", "y", "x"]).dictionary_encode(),
        "wide": pa.array([Decimal("1.5"), None, Decimal("2.5")], pa.decimal256(50, 2)),
        "zoned": pa.array([0, 1, None], pa.timestamp("ns", tz="Europe/Berlin")),
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "empty": pa.nulls(3),
    }
    rows = pa.table({"n": ["1", "x", "3"], **others})
    result = house.validate(house.stage(rows), contract_of(ColumnRule("n", type="int8")))
    after = house.valid(result)
    assert after.drop_columns("n").equals(rows.drop_columns("n").take([0, 2]))
    assert after["n"].to_pylist() == [1, 3]
    (row,) = house.quarantine(result)
    assert row["raw"].startswith('{"n":"x","a.b":{"c":null},"a":{"b":8},"list":[],"bytes":"","dictionary":"y"')


def test_rules_judge_columns_of_any_type(house: ValidationHouse) -> None:
    rows = {
        "list": pa.array([[1], None, [1]]),
        "bytes": pa.array([b"a", None, b"a"]),
        "wide": pa.array([Decimal("1.5"), None, Decimal("1.5")], pa.decimal256(50, 2)),
    }
    contract = contract_of(*(ColumnRule(name, nullable=False, unique=True) for name in rows))
    result = house.judge(rows, contract)
    assert bad_rows(house.quarantine(result)) == {
        2: ["list null_value", "bytes null_value", "wide null_value"],
        3: ["list duplicate", "bytes duplicate", "wide duplicate"],
    }


def test_long_rows_and_values_are_cut_in_the_quarantine(house: ValidationHouse) -> None:
    result = house.judge({"s": ["x" * 5000]}, contract_of(ColumnRule("s", pattern="y")), limits=Limits(1, max_raw_chars=1000))
    (row,) = house.quarantine(result)
    assert len(row["raw"]) == 1000
    assert row["raw"].endswith("x…")
    assert len(row["reasons"][0]["value"]) == 200


def test_names_that_look_like_ours_or_like_syntax_are_only_names(house: ValidationHouse) -> None:
    names = ["raw_0", "value_0", "repeated_0", "0", "^.*$", "*", "{}", "literal", ""]
    contract = contract_of(*(ColumnRule(name, type="int64", minimum=0, unique=True) for name in names))
    result = house.judge({name: ["1", "-1", "1"] for name in names}, contract)
    assert bad_rows(house.quarantine(result)) == {
        2: [f"{name} below_minimum" for name in names],
        3: [f"{name} duplicate" for name in names],
    }

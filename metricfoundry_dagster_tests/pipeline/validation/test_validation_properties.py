"""What holds for any table and any contract."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from metricfoundry_dagster.domain.contracts import ColumnRule, Contract
from metricfoundry_dagster_tests.pipeline.validation.staged_tables import LENIENT, Staged, ValidationHouse

_VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "integers": (pa.int64(), st.integers(-5, 5)),
    "floats": (pa.float64(), st.sampled_from([-1.5, -0.0, 0.0, 2.0, float("nan"), float("inf")])),
    "texts": (pa.string(), st.sampled_from(["", "1", "-2", "3.5", "x", "2020-01-01", "true", "é"])),
    "flags": (pa.bool_(), st.booleans()),
    "days": (pa.date32(), st.dates()),
}
_RULES = {
    "integers": [
        ColumnRule("integers", minimum=0),
        ColumnRule("integers", type="uint8", unique=True),
        ColumnRule("integers", type="bool"),
    ],
    "floats": [
        ColumnRule("floats", type="int64"),
        ColumnRule("floats", nullable=False, below=2),
        ColumnRule("floats", unique=True),
    ],
    "texts": [
        ColumnRule("texts", type="int64", minimum=0),
        ColumnRule("texts", pattern="[0-9]+"),
        ColumnRule("texts", type="timestamp[ms]"),
    ],
    "flags": [ColumnRule("flags", allowed=(True,)), ColumnRule("flags", type="string", nullable=False)],
    "days": [ColumnRule("days", type="timestamp[ns]"), ColumnRule("days", unique=True, nullable=False)],
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    height = draw(st.integers(0, 8))
    lists = {name: draw(st.lists(st.none() | values, min_size=height, max_size=height)) for name, (_, values) in _VALUES.items()}
    return pa.table({name: pa.array(lists[name], type_) for name, (type_, _) in _VALUES.items()})


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    rules = [draw(st.none() | st.sampled_from(choices)) for choices in _RULES.values()]
    unique = draw(st.sampled_from([(), (("integers", "flags"),), (("texts",), ("days", "texts"))]))
    return Contract("any", columns=tuple(rule for rule in rules if rule is not None), unique=unique)


def cuts(rows: int, part_rows: int) -> list[int]:
    """The sizes of parts of at most so many rows."""
    return [min(part_rows, rows - start) for start in range(0, rows, part_rows)] or [0]


def verdict(
    house: ValidationHouse, staged: Staged, contract: Contract, batch_rows: int
) -> tuple[list[str], list[Any], list[Any]]:
    result = house.validate(staged, contract, batch_rows=batch_rows, limits=LENIENT)
    assert result.table.rows_in == staged.table.rows_out
    assert result.table.balances
    rows = {role: sum(file.rows or 0 for file in result.files if file.role == role) for role in ("part", "quarantine")}
    assert rows == {"part": result.table.rows_out, "quarantine": result.table.rows_rejected}
    return [str(row) for row in house.valid(result).to_pylist()], house.quarantine(result), list(result.findings)


@given(tables(), contracts(), st.integers(2, 5), st.integers(2, 5))
@settings(max_examples=25)
def test_rows_balance_and_the_cut_of_parts_and_batches_changes_nothing(
    rows: pa.Table, contract: Contract, part_rows: int, batch_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = ValidationHouse(Path(folder) / "whole")
        cut = ValidationHouse(Path(folder) / "cut")
        staged = cut.stage(rows, part_rows=cuts(rows.num_rows, part_rows))
        assert verdict(whole, whole.stage(rows), contract, 1000) == verdict(cut, staged, contract, batch_rows)


@given(tables(), contracts())
@settings(max_examples=25)
def test_valid_rows_are_the_staged_ones_in_their_order_and_nothing_in_them_is_changed(rows: pa.Table, contract: Contract) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = ValidationHouse(Path(folder))
        result = house.validate(house.stage(rows), contract)
        after, put_aside = house.valid(result), {row["row"] for row in house.quarantine(result)}
    kept = rows.filter(pa.array([row not in put_aside for row in range(1, rows.num_rows + 1)], pa.bool_()))
    types = {rule.name: rule.type for rule in contract.columns}
    for name in rows.schema.names:
        if types.get(name) is None and after.schema.field(name).type == rows.schema.field(name).type:
            assert str(after[name].to_pylist()) == str(kept[name].to_pylist())
        assert after[name].null_count == kept[name].null_count, "no value became null"


@given(tables(), contracts())
@settings(max_examples=25)
def test_what_was_valid_once_is_valid_again(rows: pa.Table, contract: Contract) -> None:
    """Judged again, no valid row is bad, and no file is written."""
    with tempfile.TemporaryDirectory() as folder:
        house = ValidationHouse(Path(folder))
        once = house.valid(house.validate(house.stage(rows), contract))
        staged = house.stage(once, name="again")
        again = house.validate(staged, contract)
    assert again.table.rows_rejected == 0
    assert again.files == staged.parts

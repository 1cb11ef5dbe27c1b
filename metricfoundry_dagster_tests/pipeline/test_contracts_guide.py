"""The guide to contracts says what is true."""

import re
from dataclasses import fields
from datetime import date
from pathlib import Path

from metricfoundry_dagster.adapters.contract_files import ContractFilesInDirectory
from metricfoundry_dagster.domain.contracts import ColumnRule, Contract
from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster.pipeline.read_contract import read_contract

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "contracts.md").read_text("utf-8")


def test_the_example_is_a_contract_that_uses_every_entry() -> None:
    """Nothing can be said in a contract that the example does not say."""
    example = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[0]
    contract = read_contract(example)
    assert contract.columns[2] == ColumnRule(
        "ordered_at", "timestamp[us]", nullable=False, minimum=date(2020, 1, 1), below=date(2030, 1, 1)
    )
    for kind, entries in ((Contract, example), (ColumnRule, GUIDE.partition("| entry |")[2])):
        missing = [field.name for field in fields(kind) if field.name not in entries and field.name != "source"]
        assert missing == []


def test_every_code_of_a_contract_is_told() -> None:
    told = [code for code in ERROR_CODES if code.startswith("contract.") and code not in GUIDE]
    assert told == ["contract.not_found", "contract.threshold_broken"]


def test_the_table_of_the_sales_contract_is_its_columns(tmp_path: Path) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `([^`]+)` \| (yes|) *\| (.*?) ?\|$", GUIDE.partition("## The contract `sales`")[2], re.MULTILINE
    )
    sales = read_contract(ContractFilesInDirectory(tmp_path).read("sales"))
    assert [(name, type_, needed == "yes", "not null" in rule) for name, type_, needed, rule in rows] == [
        (rule.name, rule.type, rule.required, not rule.nullable) for rule in sales.columns
    ]

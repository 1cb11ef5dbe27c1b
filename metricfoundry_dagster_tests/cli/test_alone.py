"""`inspect`, `profile`, `validate` and `druid-spec` work on a file with nothing else there."""

import json
from pathlib import Path

import pytest

from metricfoundry_dagster_tests.cli.command import Command

SALES = "day,shop,amount\n2024-01-01,north,10.5\n2024-01-02,south,-3\n2024-01-03,north,7\n"
CONTRACT = """
name: sales
columns:
  - name: day
    type: date32[day]
  - name: amount
    minimum: 0
"""


@pytest.fixture
def sales(folder: Path) -> Path:
    """Three sales, one of them below zero."""
    path = folder / "sales.csv"
    path.write_text(SALES)
    return path


@pytest.fixture
def contract(folder: Path) -> Path:
    """No amount is below zero; a third of the rows may be bad."""
    path = folder / "rules.yaml"
    path.write_text(CONTRACT + "max_quarantine_share: 0.5\n")
    return path


def test_inspect_says_how_a_file_would_be_read(command: Command, sales: Path) -> None:
    document = command("inspect", sales, "--json").document
    assert (document["status"], document["format"]) == ("ok", "csv")
    assert 0 <= document["recipe"]["confidence"] <= 1
    table = document["tables"][0]
    assert [column["name"] for column in table["columns"]] == ["day", "shop", "amount"]
    assert (table["name"], table["whole_file"], table["time_column"]) == ("sales", True, "day")


def test_inspect_shows_people_the_same(command: Command, sales: Path) -> None:
    found = command("inspect", sales)
    assert found.code == 0
    assert "confidence:" in found.out
    assert "amount" in found.out


def test_inspect_takes_several_paths(command: Command, sales: Path) -> None:
    found = command("inspect", sales, "missing.csv", "--json")
    assert found.code == 3
    assert [each["path"] for each in found.documents] == [str(sales), "missing.csv"]


def test_profile_counts_every_column(command: Command, sales: Path) -> None:
    document = command("profile", sales, "--json").document
    table = document["tables"][0]
    amount = table["columns"][2]
    assert (document["status"], table["rows"], amount["min"], amount["max"]) == ("ok", 3, -3, 10.5)


def test_profile_writes_the_report_for_people(command: Command, folder: Path, sales: Path) -> None:
    found = command("profile", sales, "--html", "out/report.html")
    assert found.code == 0
    assert "<html" in (folder / "out/report.html").read_text("utf-8")
    assert "amount" in found.out


def test_one_report_is_not_written_for_two_files(command: Command, sales: Path) -> None:
    assert command("profile", sales, sales, "--html", "report.html").code == 2


def test_validate_lists_what_holds_and_what_does_not(command: Command, folder: Path, sales: Path, contract: Path) -> None:
    found = command("validate", sales, "--contract", contract, "--out", "judged", "--json")
    assert found.code == 0
    document = found.document
    table = document["tables"][0]
    assert (document["status"], document["verdict"], document["contract"]) == ("ok", "pass", "sales")
    assert [table[f"rows_{name}"] for name in ("read", "staged", "valid", "quarantined")] == [3, 3, 2, 1]
    assert [(f["code"], f["count"]) for f in document["findings"]] == [("amount|minimum", 1)]
    assert all((folder / "judged" / name).is_file() for name in (*table["files"], *table["quarantine"]))


def test_validate_fails_with_3_when_the_contract_does_not_hold(command: Command, folder: Path, sales: Path) -> None:
    (folder / "rules.yaml").write_text(CONTRACT)
    found = command("validate", sales, "--contract", "rules.yaml", "--json")
    assert found.code == 3
    assert (found.document["status"], found.document["verdict"]) == ("error", "fail")
    assert found.document["error"]["code"] == "contract.too_many_bad_rows"
    assert found.document["tables"][0]["files"] == []


def test_validate_shows_people_the_verdict(command: Command, sales: Path, contract: Path) -> None:
    found = command("validate", sales, "--contract", contract)
    assert found.code == 0
    assert found.out.startswith("pass: ")
    assert "2 valid + 1 quarantined" in found.out


def test_an_unknown_contract_is_the_users_error(command: Command, sales: Path) -> None:
    found = command("validate", sales, "--contract", "nothing", "--json")
    assert (found.code, found.document["error"]["code"]) == (3, "contract.not_found")


def test_the_druid_spec_is_a_task_and_its_reasons_are_apart(command: Command, folder: Path, sales: Path) -> None:
    found = command("druid-spec", sales, "--datasource", "Net Sales")
    assert found.code == 0
    schema = found.document["spec"]["dataSchema"]
    assert (schema["dataSource"], schema["timestampSpec"]["column"]) == ("net_sales", "day")
    files = found.document["spec"]["ioConfig"]["inputSource"]["files"]
    assert [path.endswith("/validated/1/sales/part-00000.parquet") for path in files] == [True]
    assert all(path.startswith(str(folder / ".metricfoundry/store/artifacts/datasets/net_sales--")) for path in files)
    assert "'day' is the time" in found.err


def test_a_time_column_can_be_asked_for(command: Command, sales: Path) -> None:
    assert command("druid-spec", sales, "--datasource", "sales", "--time-column", "shop").code == 3


def test_the_druid_spec_of_the_same_file_is_the_same(command: Command, sales: Path) -> None:
    first, second = (command("druid-spec", sales, "--datasource", "sales").out for _ in range(2))
    assert json.loads(first) == json.loads(second)

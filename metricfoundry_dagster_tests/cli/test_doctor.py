"""`doctor` names what is not well, and what to do next."""

from pathlib import Path
from typing import Any

import pytest

from metricfoundry_dagster_tests.cli.command import Command, Outcome


def verdicts(found: Outcome) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    return {check["name"]: check for check in found.document["checks"]}


def test_a_fresh_instance_is_well(command: Command) -> None:
    found = command("doctor", "--json")
    assert (found.code, found.document["status"]) == (0, "ok")
    checks = verdicts(found)
    assert {name for name, check in checks.items() if check["verdict"] == "failed"} == set()
    assert {"versions", "settings", "free space", "catalog", "uploads root", "artifacts root", "reports root"} <= set(checks)


def test_looking_leaves_nothing_in_the_store(command: Command, folder: Path) -> None:
    command("doctor")
    assert [path for path in (folder / ".metricfoundry/store").rglob("*") if path.is_file()] == []


def test_a_dagster_that_does_not_run_is_a_warning(command: Command) -> None:
    check = verdicts(command("doctor", "--json"))["dagster"]
    assert check["verdict"] == "warning"
    assert "metricfoundry up" in check["next_step"]


def test_a_dagster_that_was_named_has_to_answer(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_DAGSTER_URL", "http://127.0.0.1:1")
    found = command("doctor", "--json")
    assert (found.code, found.document["status"], verdicts(found)["dagster"]["verdict"]) == (4, "error", "failed")


def test_a_root_that_cannot_be_written_fails(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("in the way")
    monkeypatch.setenv("METRICFOUNDRY_REPORTS_ROOT", str(folder / "file/reports"))
    found = command("doctor", "--json")
    check = verdicts(found)["reports root"]
    assert (found.code, check["verdict"]) == (4, "failed")
    assert "METRICFOUNDRY_REPORTS_ROOT" in check["next_step"]


def test_a_catalog_that_is_away_fails_and_the_rest_is_still_looked_at(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_DATABASE_URL", "postgresql://someone:hunter2@127.0.0.1:1/catalog")
    found = command("doctor", "--json")
    assert found.code == 4
    checks = verdicts(found)
    assert (checks["catalog"]["verdict"], checks["uploads root"]["verdict"]) == ("failed", "ok")
    assert "hunter2" not in found.out + found.err


def test_a_misspelled_setting_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_PROT", "1")
    found = command("doctor")
    assert found.code == 0
    assert "METRICFOUNDRY_PROT is no setting" in found.out


def test_a_broken_contract_is_named(command: Command, folder: Path) -> None:
    (folder / "contracts").mkdir()
    (folder / "contracts/good.yaml").write_text("name: good\n")
    (folder / "contracts/bad.yaml").write_text("columns: 7\n")
    found = command("doctor", "--json")
    checks = verdicts(found)
    assert (found.code, checks["contract bad.yaml"]["verdict"]) == (3, "failed")
    assert checks["contracts"]["detail"].startswith("1 ")

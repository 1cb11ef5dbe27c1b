"""`doctor` names what is not well, and what to do next."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from metricfoundry_dagster.cli.examine_versions import examine_versions
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


def test_the_document_is_a_contract(command: Command) -> None:
    for check in command("doctor", "--json").document["checks"]:
        assert list(check) == ["name", "verdict", "detail", "next_step", "exit_code"]
        assert check["verdict"] in {"ok", "warning", "failed"}
        assert (check["verdict"] == "ok") <= (check["next_step"] == "")
        assert (check["verdict"] == "failed") == (check["exit_code"] != 0)


def test_looking_makes_no_catalog(command: Command, folder: Path) -> None:
    check = verdicts(command("doctor", "--json"))["catalog"]
    assert (check["verdict"], "no file yet" in check["detail"]) == ("ok", True)
    assert not (folder / ".metricfoundry/catalog.db").exists()


def test_servers_that_are_not_there_are_each_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("METRICFOUNDRY_S3_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("METRICFOUNDRY_S3_SECRET_ACCESS_KEY", "canary-word")
    monkeypatch.setenv("METRICFOUNDRY_UPLOADS_ROOT", "s3://bucket/uploads")
    monkeypatch.setenv("METRICFOUNDRY_DRUID_OVERLORD_URL", "http://127.0.0.1:1")
    found = command("doctor", "--json")
    checks = verdicts(found)
    failures = {name for name, check in checks.items() if check["verdict"] == "failed"}
    assert failures == {"s3", "uploads root", "druid overlord", "druid coordinator", "druid broker"}
    assert (found.code, checks["reports root"]["verdict"]) == (4, "ok")
    assert "canary" not in found.out + found.err


def test_an_address_of_no_database_is_a_wrong_setting(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_DATABASE_URL", "mysql://someone:hunter2@127.0.0.1/catalog")
    found = command("doctor", "--json")
    assert (found.code, verdicts(found)["catalog"]["verdict"]) == (2, "failed")
    assert "hunter2" not in found.out + found.err


def test_libraries_are_held_against_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"polars=={version('polars')} \\\n    --hash=sha256:0\nduckdb==0.0.1\nno-such-thing==1\nonly-there==1 ; x\n")
    ok, warning = examine_versions(lock)
    assert (ok.verdict, warning.verdict) == ("ok", "warning")
    assert f"duckdb {version('duckdb')} instead of 0.0.1, no-such-thing is missing" in warning.detail
    assert "polars" not in warning.detail
    lock.write_text(f"polars=={version('polars')}\n")
    assert len(list(examine_versions(lock))) == len(list(examine_versions(tmp_path / "nowhere"))) == 1

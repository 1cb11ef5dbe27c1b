"""The edge of the command line: cheap to start, and every error ends in its exit code."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from metricfoundry_dagster.cli.main import app, main
from metricfoundry_dagster_tests.architecture.source_code import SOURCE
from metricfoundry_dagster_tests.cli.command import Command

HEAVY = {"polars", "dagster", "duckdb", "pandera", "pyarrow", "pandas", "numpy", "sqlalchemy", "fsspec", "pydantic", "requests"}
GUIDE = SOURCE.parent / "docs/guide/command-line.md"


def commands(group: Any, prefix: str = "") -> Iterator[str]:
    """Every command by its whole name."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, f"{prefix}{name} ")
        else:
            yield prefix + name


ALL_COMMANDS = sorted(commands(typer.main.get_command(app)))


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    """So that a help text is there at once."""
    code = "import sys, metricfoundry_dagster.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert HEAVY & set(loaded) == set()


def test_the_version_is_printed(command: Command) -> None:
    found = command("--version")
    assert found.code == 0
    assert re.fullmatch(r"metricfoundry \d+\.\d+\.\d+\n", found.out)


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_each_command_explains_itself(command: Command, name: str) -> None:
    found = command(*name.split(), "--help")
    assert found.code == 0
    assert f"metricfoundry {name}" in found.out


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_each_command_is_in_the_guide(name: str) -> None:
    assert re.search(rf"^\| `{re.escape(name)}[ `]", GUIDE.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    "arguments", [("no-such-command",), ("ingest",), ("stage", "a.csv"), ("query", "SELECT 1", "--json", "--csv"), ("list",)]
)
def test_wrong_usage_ends_with_2(command: Command, arguments: tuple[str, ...]) -> None:
    found = command(*arguments)
    assert (found.code, found.out) == (2, "")
    assert found.err


def test_a_wrong_setting_ends_with_2_and_its_name(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_MIN_ROWS", "few")
    found = command("datasets", "list")
    assert (found.code, found.out) == (2, "")
    assert "METRICFOUNDRY_MIN_ROWS" in found.err
    assert "few" not in found.err


def test_a_database_that_cannot_hold_the_catalog_is_a_wrong_setting(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_DATABASE_URL", "mysql://someone:hunter2@db/catalog")
    found = command("datasets", "list", "--json")
    assert found.code == 2
    assert found.document["error"]["code"] == "settings.invalid"
    assert "METRICFOUNDRY_DATABASE_URL" in found.document["error"]["message"]
    assert "hunter2" not in found.out + found.err


def test_the_users_error_ends_with_3(command: Command) -> None:
    found = command("datasets", "show", "nothing")
    assert (found.code, found.out) == (3, "")
    assert "datasource.not_found" in found.err


def test_the_worlds_error_ends_with_4(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("in the way")
    monkeypatch.setenv("METRICFOUNDRY_HOME", str(folder / "file/home"))
    assert command("datasets", "list").code == 4


def test_an_error_is_one_json_document_when_that_was_asked_for(command: Command) -> None:
    found = command("datasets", "show", "nothing", "--json")
    assert found.code == 3
    error = found.document["error"]
    assert (found.document["status"], error["code"], error["place"]) == ("error", "datasource.not_found", {})
    assert error["hint"]
    assert error["message"] in found.err


def test_an_unforeseen_error_ends_with_70_and_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """Its text stays out of the document: it may hold anything."""
    broken = typer.Typer(pretty_exceptions_enable=False)

    @broken.command()
    def fail(*, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        raise ZeroDivisionError("a bug of ours")

    with pytest.raises(SystemExit) as caught:
        main(["--json"], commands=broken)
    captured = capsys.readouterr()
    assert caught.value.code == 70
    assert json.loads(captured.out)["error"]["code"] == "unexpected"
    assert "a bug of ours" not in captured.out
    assert "ZeroDivisionError: a bug of ours" in captured.err


def test_the_module_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "metricfoundry_dagster.cli.main", "--version"], check=False, capture_output=True)
    assert done.returncode == 0

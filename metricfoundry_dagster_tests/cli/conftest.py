"""A command line in an empty directory, with its state there."""

from pathlib import Path

import pytest

from metricfoundry_dagster_tests.cli.command import Command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command; its home is made there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `metricfoundry` in that directory; no Dagster answers there."""
    monkeypatch.setenv("METRICFOUNDRY_PORT", "1")
    return Command(capsys)

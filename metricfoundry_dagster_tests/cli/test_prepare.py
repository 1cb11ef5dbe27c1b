"""`metricfoundry prepare` makes what the settings name, and does nothing the second time."""

import json
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.catalog.schema import HEAD_REVISION
from metricfoundry_dagster.cli.main import main


def test_the_embedded_default_needs_no_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["prepare", "--json"])
        assert ended.value.code == 0
        home = tmp_path / ".metricfoundry"
        told = {"status": "ok", "buckets": [], "catalog_revision": HEAD_REVISION, "dagster_home": str(home / "dagster")}
        assert json.loads(capsys.readouterr().out) == told
        assert (home / "dagster" / "dagster.yaml").is_file()
        assert (home / "catalog.db").is_file()

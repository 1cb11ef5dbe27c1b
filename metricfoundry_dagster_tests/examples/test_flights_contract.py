"""The example contract fits the real flights, and the rows that the example script breaks are told apart."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.break_rows import break_rows
from metricfoundry_dagster_tests.architecture.source_code import ROOT


def test_every_real_flight_holds_the_contract(flights_csv: Path) -> None:
    document = _validate(flights_csv)
    assert document["verdict"] == "pass"
    assert _counts(document) == {"rows_read": 336_776, "rows_rejected": 0, "rows_valid": 336_776, "rows_quarantined": 0}


def test_each_broken_row_ends_where_it_belongs(few_flights_csv: Path, tmp_path: Path) -> None:
    """Unreadable rows are rejects, forbidden values are in quarantine, and every other row is valid."""
    path = tmp_path / "broken.csv"
    broken = break_rows(few_flights_csv, path, share=0.05)
    assert _counts(_validate(path)) == {
        "rows_read": 2_000,
        "rows_rejected": broken.ragged + broken.unclosed,
        "rows_valid": broken.whole,
        "rows_quarantined": broken.forbidden,
    }


def _validate(path: Path) -> dict[str, Any]:
    contract = ROOT / "contracts" / "flights.yaml"
    command = [
        sys.executable,
        "-m",
        "metricfoundry_dagster.cli.main",
        "validate",
        str(path),
        "--contract",
        str(contract),
        "--json",
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


def _counts(document: dict[str, Any]) -> dict[str, int]:
    (table,) = document["tables"]
    return {name: table[name] for name in ("rows_read", "rows_rejected", "rows_valid", "rows_quarantined")}

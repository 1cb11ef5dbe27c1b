"""The example that breaks rows breaks what it says, and the same each time."""

import subprocess
import sys
from pathlib import Path

from examples.break_rows import break_rows
from metricfoundry_dagster_tests.architecture.source_code import ROOT


def test_about_the_share_that_was_asked_for_is_broken(few_flights_csv: Path, tmp_path: Path) -> None:
    broken = break_rows(few_flights_csv, tmp_path / "broken.csv", share=0.1)
    assert broken.whole + broken.ragged + broken.forbidden + broken.unclosed == 2_000
    assert 150 <= broken.ragged + broken.forbidden <= 250
    assert broken.ragged > broken.forbidden > 0


def test_ragged_rows_have_another_number_of_fields_and_the_last_opens_a_quote(few_flights_csv: Path, tmp_path: Path) -> None:
    broken = break_rows(few_flights_csv, tmp_path / "broken.csv", share=0.1)
    header, *lines = (tmp_path / "broken.csv").read_text().splitlines()
    assert sum(line.count(",") != header.count(",") for line in lines) == broken.ragged
    assert [line for line in lines if '"' in line] == [lines[-1]]


def test_the_same_seed_breaks_the_same_rows(few_flights_csv: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        break_rows(few_flights_csv, tmp_path / name, share=0.05, seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again != other


def test_the_script_says_how_many_rows_it_broke(few_flights_csv: Path, tmp_path: Path) -> None:
    script = ROOT / "examples" / "break_rows.py"
    outcome = subprocess.run(
        [sys.executable, str(script), str(few_flights_csv), str(tmp_path / "out.csv"), "--share", "0"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout == "1 rows cannot be read, 0 hold a forbidden value, 1999 are whole\n"

"""How well dirty CSV files are read, told nothing: the Pollock benchmark, `python -m benchmarks.pollock FOLDER`.

FOLDER is a checkout of that benchmark, which is not part of this project: it holds `polluted_files/csv`,
`polluted_files/clean`, `pollock_weights.json` and the package `pollock` with its measures, which are used as they are.

What is scored is the first table that is staged, with every column as text, since the measures compare texts; a file
without a header is written without one. Rows that were rejected are not in it. A file that is refused because it is empty
gives an empty table.

Source: Vitagliano et al., "Pollock: A Data Loading Benchmark", PVLDB 16(8), 2023, https://doi.org/10.14778/3594512.3594518.
"""

import csv
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._read_as_text import read_as_text
from metricfoundry_dagster.domain.errors import UserError

_MEASURES = ("success", *(f"{what}_{how}" for what in ("header", "record", "cell") for how in ("precision", "recall", "f1")))


def main() -> None:
    """Score every file, and print the two scores and the worst files."""
    folder = Path(sys.argv[1]).absolute()
    sys.path.insert(0, str(folder))
    weights: dict[str, float] = json.loads((folder / "pollock_weights.json").read_text())
    scores: dict[str, float] = {}
    for path in sorted((folder / "polluted_files/csv").glob("*.csv")):
        scores[path.name] = sum(_score(path, folder / "polluted_files/clean" / path.name))
    simple = sum(scores.values()) / len(scores)
    weighted = sum(score * weights.get(name, 0.0) for name, score in scores.items()) / sum(
        weights.get(name, 0.0) for name in scores
    )
    for name, score in sorted(scores.items(), key=lambda item: (10 - item[1]) * weights.get(item[0], 0.0), reverse=True)[:15]:
        sys.stderr.write(f"{name}: {score:.3f}\n")
    _line({"files": len(scores), "simple": round(simple, 3), "weighted": round(weighted, 3)})


def _score(dirty: Path, clean: Path) -> list[float]:
    measures = importlib.import_module("pollock.metrics").header_record_cell_measures_csv

    with tempfile.TemporaryDirectory() as scratch:
        loaded = Path(scratch) / "loaded.csv"
        try:
            _load(dirty, loaded)
        except UserError as error:
            if error.code != "file.empty":
                sys.stderr.write(f"{dirty.name}: {error}\n")
                return [0.0] * len(_MEASURES)
            loaded.touch()
        return [1.0, *measures(clean, loaded)]


def _load(dirty: Path, loaded: Path) -> None:
    table, rows = read_as_text(dirty)
    with loaded.open("w", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        if any(column.source_name is not None for column in table.columns):
            writer.writerow([column.source_name for column in table.columns])
        writer.writerows([["" if value is None else value for value in row.values()] for row in rows])


def _line(figure: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"benchmark": "pollock", **figure}) + "\n")


if __name__ == "__main__":
    main()

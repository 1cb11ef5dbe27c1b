"""Whether every file of csv-spectrum is read as its JSON says, told nothing: `python -m benchmarks.csv_spectrum FOLDER`.

FOLDER is a checkout of that suite, which is not part of this project: it holds `csvs/*.csv` and `json/*.json`. Every column
is read as text, since the JSON knows only texts; a null is an empty text there.
"""

import json
import sys
from pathlib import Path

from benchmarks._read_as_text import read_as_text


def main() -> int:
    """Compare every file, name those that differ, and print how many were right; 1 when some were not."""
    folder = Path(sys.argv[1])
    paths = sorted((folder / "csvs").glob("*.csv"))
    wrong = [path.name for path in paths if _rows(path) != _wanted(folder / "json" / f"{path.stem}.json")]
    figure = {"benchmark": "csv-spectrum", "files": len(paths), "right": len(paths) - len(wrong), "wrong": wrong}
    sys.stdout.write(json.dumps(figure) + "\n")
    return 1 if wrong else 0


def _wanted(path: Path) -> list[dict[str, str]]:
    document = json.loads(path.read_text())
    return document if isinstance(document, list) else [document]


def _rows(path: Path) -> list[dict[str, str]]:
    table, rows = read_as_text(path)
    names = {column.name: column.source_name or "" for column in table.columns}
    return [{names[name]: value or "" for name, value in row.items()} for row in rows]


if __name__ == "__main__":
    sys.exit(main())

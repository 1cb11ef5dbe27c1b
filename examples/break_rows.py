"""Breaks a share of a CSV file's rows, to see what becomes of them.

    python examples/break_rows.py flights.csv broken.csv --share 0.01

Two of three broken rows cannot be read and end among the rejects: they have a field too many, or one too few.
Every third can be read but holds a value that `contracts/flights.yaml` forbids, and ends in quarantine.
The last row of all opens a quote that is never closed. The same seed breaks the same rows.

The file must be UTF-8 with a header and one record a line, without quoted line ends.
"""

import argparse
import csv
import random
from dataclasses import dataclass
from pathlib import Path

#: Values of the right type that no flight can have, by column.
FORBIDDEN = {"month": "13", "origin": "NOWHERE", "distance": "-1"}


@dataclass(frozen=True)
class BrokenRows:
    """How many rows were broken in which way, and how many were left as they are."""

    ragged: int
    unclosed: int
    forbidden: int
    whole: int


def break_rows(source: Path, destination: Path, *, share: float, seed: int = 0) -> BrokenRows:
    """Copy `source` to `destination` and break about `share` (0 to 1) of its rows, and always the last."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    ragged = forbidden = whole = 0
    with source.open(newline="", encoding="utf-8") as rows, destination.open("w", newline="", encoding="utf-8") as stream:
        reader, writer = csv.reader(rows), csv.writer(stream, lineterminator="\n")
        header = next(reader)
        writer.writerow(header)
        previous = next(reader)
        for row in reader:
            if chance.random() >= share:
                writer.writerow(previous)
                whole += 1
            elif chance.randrange(3):
                writer.writerow(_ragged(previous, chance))
                ragged += 1
            else:
                writer.writerow(_forbidden(previous, header, chance))
                forbidden += 1
            previous = row
        stream.write('"' + ",".join(previous) + "\n")
    return BrokenRows(ragged=ragged, unclosed=1, forbidden=forbidden, whole=whole)


def _ragged(row: list[str], chance: random.Random) -> list[str]:
    return [*row, "one too many"] if chance.randrange(2) else row[:-1]


def _forbidden(row: list[str], header: list[str], chance: random.Random) -> list[str]:
    column = chance.choice([name for name in FORBIDDEN if name in header])
    return [FORBIDDEN[column] if name == column else value for name, value in zip(header, row, strict=True)]


def main() -> None:
    """Read the command line, break the rows and say how many."""
    parser = argparse.ArgumentParser(description="Break a share of a CSV file's rows.")
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--share", type=float, default=0.01, help="share of rows to break, 0 to 1 (default: 0.01)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    broken = break_rows(options.source, options.destination, share=options.share, seed=options.seed)
    unreadable = broken.ragged + broken.unclosed
    print(f"{unreadable} rows cannot be read, {broken.forbidden} hold a forbidden value, {broken.whole} are whole")


if __name__ == "__main__":
    main()

"""On which physical line of its file each staged row starts: kept as runs, so that a bad row can be shown in its file.

A run is a stretch of rows of which each starts as many lines after the one before; a plain file is one run, and so is
a JSON document all on one line. Staging writes them, validation looks lines up. Binary formats have no lines and no such file.
"""

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

#: The first row of a run, from 1 in the staged table, the physical line where it starts, from 1, and the lines from row to row.
LINES_SCHEMA = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in ("row", "line", "step")])

Numbers = npt.NDArray[np.int64]


class LineRuns:
    """Collects the lines of rows as they are staged, in order."""

    def __init__(self) -> None:
        self._next_row, self._next_line, self._step = 1, 0, 1
        self._rows: list[Numbers] = []
        self._lines: list[Numbers] = []
        self._steps: list[Numbers] = []
        self.held = 0

    def add(self, lines: Numbers) -> None:
        """Take the lines of the next rows, never falling."""
        if not len(lines):
            return
        steps = np.diff(lines)
        step = int(np.median(steps)) if len(steps) else self._step
        begins = np.concatenate(([lines[0] != self._next_line or step != self._step], steps != step))
        firsts = np.flatnonzero(begins)
        self._rows.append(firsts + self._next_row)
        self._lines.append(lines[firsts])
        self._steps.append(np.full(len(firsts), step, np.int64))
        self.held += len(firsts)
        self._next_row += len(lines)
        self._next_line, self._step = int(lines[-1]) + step, step

    def take(self) -> pa.Table:
        """The runs that are held, which are forgotten, as a table of `LINES_SCHEMA`."""
        columns = [np.concatenate(held) if held else np.empty(0, np.int64) for held in (self._rows, self._lines, self._steps)]
        self._rows, self._lines, self._steps, self.held = [], [], [], 0
        return pa.table([pa.array(column) for column in columns], schema=LINES_SCHEMA)


class RowLines:
    """Looks up lines. Holds 24 bytes for each run."""

    def __init__(self, rows: Numbers, lines: Numbers, steps: Numbers) -> None:
        self._rows, self._lines, self._steps = rows, lines, steps

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that staging wrote."""
        table = pq.read_table(path, schema=LINES_SCHEMA)
        return cls(*(table.column(name).to_numpy() for name in LINES_SCHEMA.names))

    def of(self, rows: Numbers) -> Numbers:
        """The lines of rows, both from 1."""
        runs = np.searchsorted(self._rows, rows, side="right") - 1
        return self._lines[runs] + (rows - self._rows[runs]) * self._steps[runs]

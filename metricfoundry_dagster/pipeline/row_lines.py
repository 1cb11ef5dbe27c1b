"""On which physical line of its file each staged row starts: kept as runs, so that a bad row can be shown in its file.

A run is a stretch of rows of which each starts one line after the one before; a plain file is one run. Staging
writes them, validation looks lines up. Binary formats have no lines and no such file.
"""

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

#: The first row of a run, from 1 in the staged table, and the physical line on which it starts, from 1.
LINES_SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("line", pa.int64(), nullable=False)])

Numbers = npt.NDArray[np.int64]


class LineRuns:
    """Collects the lines of rows as they are staged, in order."""

    def __init__(self) -> None:
        self._next_row, self._next_line = 1, 0
        self._rows: list[Numbers] = []
        self._lines: list[Numbers] = []
        self.held = 0

    def add(self, lines: Numbers) -> None:
        """Take the lines of the next rows, rising."""
        if not len(lines):
            return
        begins = np.concatenate(([lines[0] != self._next_line], np.diff(lines) != 1))
        firsts = np.flatnonzero(begins)
        self._rows.append(firsts + self._next_row)
        self._lines.append(lines[firsts])
        self.held += len(firsts)
        self._next_row += len(lines)
        self._next_line = int(lines[-1]) + 1

    def take(self) -> pa.Table:
        """The runs that are held, which are forgotten, as a table of `LINES_SCHEMA`."""
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)
        lines = np.concatenate(self._lines) if self._lines else np.empty(0, np.int64)
        self._rows, self._lines, self.held = [], [], 0
        return pa.table([pa.array(rows), pa.array(lines)], schema=LINES_SCHEMA)


class RowLines:
    """Looks up lines. Holds 16 bytes for each run."""

    def __init__(self, rows: Numbers, lines: Numbers) -> None:
        self._rows, self._lines = rows, lines

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that staging wrote."""
        table = pq.read_table(path, schema=LINES_SCHEMA)
        return cls(table.column("row").to_numpy(), table.column("line").to_numpy())

    def of(self, rows: Numbers) -> Numbers:
        """The lines of rows, both from 1."""
        runs = np.searchsorted(self._rows, rows, side="right") - 1
        return self._lines[runs] + (rows - self._rows[runs])

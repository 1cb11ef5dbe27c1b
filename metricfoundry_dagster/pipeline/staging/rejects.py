"""Rows that could not be staged: the value, and the Parquet form in which they are kept.

A reject is data, with a place, a code and the bytes as they came. What is rejected is decided by the readers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

REJECT_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("code", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string()),
    ]
)
#: Keys between the tables of nested data: the number of a row in its own table, and of the row that it belongs to, from 1.
ROW_COLUMN, PARENT_COLUMN = "_row", "_parent_row"
_UTF8_MAX_BYTES = 4


@dataclass(frozen=True, slots=True)
class Reject:
    """One rejected row.

    `line` is the physical line where it starts, from 1, None in what has no lines; `raw` its bytes, perhaps only the first.
    """

    line: int | None
    code: str
    reason: str
    raw: bytes
    column: str | None = None

    @property
    def first_line(self) -> int:
        """The line in what has lines, 0 in what has none."""
        return self.line or 0


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of a block's records: the rows that are staged, and the rejects.

    `numbers` are those of the records that became rows, from 0; None when each reject has a line of its own, which tells
    them. `numbered` asks for the number of the row in its table as first column, `ROW_COLUMN`.
    """

    table: pa.Table
    rejects: list[Reject]
    numbers: npt.NDArray[np.int64] | None = None
    numbered: bool = False


def raw_text(raw: bytes, max_chars: int) -> str:
    """The bytes as text, what is no UTF-8 replaced; longer than `max_chars` it is cut and ends in an ellipsis."""
    text = raw[: _UTF8_MAX_BYTES * (max_chars + 1)].decode("utf-8", "replace")
    return text if len(text) <= max_chars else text[: max(max_chars - 1, 0)] + "…"


def rejects_table(rejects: list[Reject], source: str, max_raw_chars: int) -> pa.Table:
    """Rejects as a table of `REJECT_SCHEMA`; `source` is the file's name."""
    columns = [
        [source] * len(rejects),
        [reject.line or None for reject in rejects],
        [reject.column for reject in rejects],
        [reject.code for reject in rejects],
        [reject.reason for reject in rejects],
        [raw_text(reject.raw, max_raw_chars) for reject in rejects],
    ]
    return pa.table(columns, schema=REJECT_SCHEMA)

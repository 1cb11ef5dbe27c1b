"""Decides where the table of a sheet begins: title rows above it, its header of one or several rows.

Only the kinds of the first cells count, and which are merged. Rows and columns are counted from 0, as in the sheet.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

#: A row with fewer filled cells than this share of the widest is a title, a note or a group of headers.
_FULL_SHARE = 0.5
_MAX_HEADER_ROWS = 5
_YEARS = (1900, 2100)
_DAY_NUMBERS = (20_000, 60_000)


@dataclass(frozen=True, slots=True)
class HeadCell:
    """A cell that is not blank; `text` is known of numbers, and elsewhere sometimes."""

    kind: Literal["text", "number", "other"]
    text: str | None


@dataclass(frozen=True, slots=True)
class HeadRow:
    """A row that is not blank. `closed`, `texts` and `truths` count rows and cells from the first up to this one."""

    number: int
    cells: Mapping[int, HeadCell]
    closed: int = 0
    texts: int = 0
    truths: int = 0


@dataclass(frozen=True, slots=True)
class Merge:
    """Cells that are one; the first of them holds the value."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Header:
    """Where the table is: `height` rows of header from row `top`; with 0 the data begin there. `titles` are rows above."""

    top: int
    height: int
    titles: int


def find_header(head: Sequence[HeadRow], merges: Sequence[Merge], *, has_header: bool) -> Header:
    """Where the table begins; `head` holds at least one row."""
    widest = max(len(row.cells) for row in head)
    at = next(position for position, row in enumerate(head) if len(row.cells) >= max(_FULL_SHARE * widest, min(widest, 2)))
    if not has_header or not _is_header(head[at]):
        return Header(head[at].number, 0, at)
    top, bottom = at, at
    while top > 0 and _is_group(head[top - 1], head[top], widest, merges):
        top -= 1
    below = _rows_below(head, at, merges)
    bottom += below if at + below + 1 < len(head) else 0  # a header with nothing under it is none
    height = min(head[bottom].number - head[top].number + 1, _MAX_HEADER_ROWS)
    return Header(head[top].number, height, top)


def join_names(rows: Sequence[Sequence[str | None]], spans: Mapping[int, Mapping[int, int]]) -> list[str | None]:
    """The names of a header's rows as one row. `spans[row][column]` is the column whose name holds for it too."""
    names: list[str | None] = []
    for column in range(max(map(len, rows), default=0)):
        words: list[str] = []
        for number, row in enumerate(rows):
            owner = spans.get(number, {}).get(column, column)
            word = (row[owner] or "").strip() if owner < len(row) else ""
            if word and word not in words[-1:]:
                words.append(word)
        names.append(" ".join(words) or None)
    return names


def _is_header(row: HeadRow) -> bool:
    """Texts, and perhaps years or ascending days among them."""
    cells = row.cells.values()
    numbers = [cell.text or "" for cell in cells if cell.kind == "number"]
    if any(cell.kind == "other" for cell in cells) or len(numbers) == len(cells):
        return False
    if not all(number.isdigit() for number in numbers):
        return False
    values = [int(number) for number in numbers]
    ascending = all(one < other for one, other in pairwise(values))
    return all(_YEARS[0] <= value <= _YEARS[1] for value in values) or (
        len(values) > 1 and ascending and all(_DAY_NUMBERS[0] <= value <= _DAY_NUMBERS[1] for value in values)
    )


def _is_group(above: HeadRow, below: HeadRow, widest: int, merges: Sequence[Merge]) -> bool:
    """Whether a row names groups of the columns below it."""
    if above.number != below.number - 1 or any(cell.kind == "other" for cell in above.cells.values()):
        return False
    wide = [merge for merge in merges if merge.top == above.number and merge.right > merge.left]
    if wide:
        return all(merge.right - merge.left + 1 < widest for merge in wide)
    names = [cell.text for cell in below.cells.values() if cell.text is not None]
    return not merges and len(above.cells) > 1 and set(above.cells) < set(below.cells) and len(set(names)) < len(names)


def _rows_below(head: Sequence[HeadRow], at: int, merges: Sequence[Merge]) -> int:
    """How many rows under the first full one belong to the header too."""
    number = head[at].number
    last = max((merge.bottom for merge in merges if merge.top == number), default=number)
    if last == number and any(merge.top == number and merge.right > merge.left for merge in merges):
        last = number + 1
    return sum(1 for _ in _texts_until(head[at + 1 :], last))


def _texts_until(rows: Sequence[HeadRow], last: int) -> Iterator[HeadRow]:
    for row in rows:
        if row.number > last or not _is_header(row):
            return
        yield row

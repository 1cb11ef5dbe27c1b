"""Where in a text the table lies: the lines before it, and the records that name its columns.

A record is no part of the table when it stands before it and holds hardly anything, or another number of fields than
nearly all others. Whether the first record of the table is a header shows when it fits its columns worse than the
records below it; a header of several rows repeats itself, or names groups of columns above their names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from metricfoundry_dagster.pipeline.staging.text_kinds import Kind, join, likely_kind
from metricfoundry_dagster.pipeline.staging.try_dialects import TYPED_FIELD, Trial

_SAMPLE_COLUMNS = 200
_HEADER_RECORDS = 20
_MOST_PREAMBLE_RECORDS = 50
_MOST_HEADER_ROWS = 5
#: A record before the table holds at most this share of what the others hold.
_NEARLY_EMPTY = 0.34
_NARROW = 3
_YEAR = re.compile(r"(19|20)\d\d")


@dataclass(frozen=True, slots=True)
class Layout:
    """`preamble_lines` physical lines come before the table, which begins with `header_rows` records that are a header.

    `header_rows` is at least 1 and means nothing without a header; `confidence` in 0..1 is about there being one.
    """

    preamble_lines: int
    has_header: bool
    header_rows: int
    confidence: float


def find_layout(trial: Trial, preamble_lines: int | None = None) -> Layout:
    """Look at the records of a trial; `preamble_lines` settles where the table begins."""
    first = _first_of_table(trial) if preamble_lines is None else _first_behind(trial, preamble_lines)
    records = trial.records[first:]
    has_header, confidence = judge_header(records)
    if preamble_lines is None:
        preamble_lines = trial.lines[first] - 1 if first else 0
    return Layout(preamble_lines, has_header, _count_header_rows(records) if has_header and records else 1, confidence)


def judge_header(records: Sequence[Sequence[str]]) -> tuple[bool, float]:
    """Whether the first record is a header, and how sure that is."""
    if not records:
        return True, 0.5
    first, body = records[0], [record for record in records[1:_HEADER_RECORDS] if len(record) == len(records[0])]
    votes = [_vote(cell, [record[number] for record in body]) for number, cell in enumerate(first[:_SAMPLE_COLUMNS])]
    balance = sum(votes)
    if balance:
        return balance > 0, 0.6 + 0.4 * abs(balance) / max(sum(abs(vote) for vote in votes), 1)
    named = [cell.strip() for cell in first]
    looks_like_names = any(named) and not any(cell and TYPED_FIELD.fullmatch(cell) for cell in named)
    below = [record for record in body if [cell.strip() for cell in record] != named]
    repeated = any(cell and any(record[number].strip() == cell for record in below) for number, cell in enumerate(named))
    filled = [cell for cell in named if cell]
    return looks_like_names and len(set(filled)) == len(filled) and not repeated, 0.6


def _first_of_table(trial: Trial) -> int:
    """The number of the first record that belongs to the table."""
    records = trial.records
    usual = median(_filled(record) for record in records if len(record) == trial.width) if records else 0
    for number, record in enumerate(records[: min(_MOST_PREAMBLE_RECORDS, (len(records) + 1) // 2)]):
        empty = trial.width >= _NARROW and _filled(record) <= max(1, _NEARLY_EMPTY * usual) < usual
        if not empty and (len(record) == trial.width or not _narrower(record, trial)):
            return number
    return 0


def _narrower(record: Sequence[str], trial: Trial) -> bool:
    """Whether a record has fewer fields than the table, so that it may be a line of a title.

    One that lacks a single field is more likely a header that does not name its first column.
    """
    if len(record) == trial.width - 1 > 1:
        return _filled(record) < len(record)
    return len(record) < trial.width >= _NARROW


def _first_behind(trial: Trial, preamble_lines: int) -> int:
    return next((number for number, line in enumerate(trial.lines) if line > preamble_lines), 0)


def _filled(record: Sequence[str]) -> int:
    return sum(1 for cell in record if cell.strip())


def _count_header_rows(records: Sequence[Sequence[str]]) -> int:
    """How many records at the beginning are a header, of which the first is one."""
    first = [cell.strip().lower() for cell in records[0]]
    rows = 1
    while rows < min(_MOST_HEADER_ROWS, len(records) - 1) and [cell.strip().lower() for cell in records[rows]] == first:
        rows += 1
    if rows == 1 and _names_groups(records):
        return 2
    return rows


def _names_groups(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record has gaps, and the second names every column of which the records below hold something else."""
    if len(records) < _NARROW or len(records[0]) != len(records[1]):
        return False
    gaps = len(records[0]) - _filled(records[0])
    if gaps == 0 or _filled(records[0]) < 2 or _filled(records[1]) < len(records[1]):
        return False
    has_header, confidence = judge_header(records[1:])
    return has_header and confidence > 0.6


def _vote(cell: str, below: list[str]) -> int:
    """1 when a cell stands apart from the cells below it, -1 when it is one of them, 0 when it says nothing."""
    kind = join(*{likely_kind(text) for text in below})
    if kind in (Kind.NULL, Kind.TEXT) or not cell.strip():
        return _vote_by_shape(cell, below)
    own = likely_kind(cell)
    if own is Kind.TEXT or (_YEAR.fullmatch(cell) and not all(_YEAR.fullmatch(other) for other in below)):
        return 1
    return -1 if own is not Kind.NULL else 0


def _vote_by_shape(cell: str, below: list[str]) -> int:
    """The same by what no kind covers: dates of other orders, amounts of money, codes."""
    filled = [text.strip() for text in below if text.strip()]
    if len(filled) < 2 or not cell.strip():
        return 0
    shapes = {_shape(text) for text in filled}
    if len(shapes) > 1 or not any(mark.isdigit() for text in filled for mark in text):
        return 0
    return -1 if _shape(cell.strip()) in shapes else 1


def _shape(text: str) -> str:
    """A text with its digits alike, and runs of them and of letters one."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", text))

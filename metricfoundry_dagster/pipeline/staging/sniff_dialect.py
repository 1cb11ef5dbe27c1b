"""Finds the dialect of delimited text by trying every one on a sample, and says how sure the answer is.

A dialect is good when nearly all records, the first among them, have one and the same number of fields, more than
one, and many fields are numbers or dates. Whether the first record is a header shows when it fits its columns
worse than the records below it.
"""

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.pipeline.staging.cut_records import RecordCutter
from metricfoundry_dagster.pipeline.staging.text_kinds import Kind, join, likely_kind

DELIMITERS = (",", "\t", ";", "|")
_SAMPLE_BYTES = 64 * 1024
_SAMPLE_RECORDS = 300
_SAMPLE_COLUMNS = 200
_HEADER_RECORDS = 20
_SAMPLE_FIELD_CHARS = 100_000  # the csv module takes no field above 128 KiB
#: Dialects this close in consistency are told apart by what their fields hold.
_CLOSE = 0.05
#: How much more consistent a file must be without quotes before they are taken for text.
_QUOTES_ARE_TEXT = 0.1
_USABLE_SHARE = 0.5
_TYPED_FIELD = re.compile(r"\s*(-?\d+([.,]\d+)?([eE][+-]?\d+)?|\d{4}-\d\d-\d\d([ T].*)?|true|false|NA|null|)\s*", re.IGNORECASE)
_YEAR = re.compile(r"(19|20)\d\d")
_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What was found. `confidence` in 0..1 is that of the weakest choice, `runner_up` names its alternative."""

    delimiter: str
    quote: str | None
    has_header: bool
    confidence: float
    runner_up: str | None


@dataclass(frozen=True, slots=True)
class _Trial:
    delimiter: str
    quote: str | None
    records: list[list[str]]
    #: The number of fields that most records have, and the share of records, rejects included, that have it.
    width: int
    share: float

    @property
    def worth(self) -> tuple[float, int]:
        """The share of fields that hold a number or a date or nothing, and their number in a record."""
        fields = [field for record in self.records if len(record) == self.width for field in record]
        typed = sum(1 for field in fields if _TYPED_FIELD.fullmatch(field))
        return round(typed / max(len(fields), 1), 2), self.width


def sniff_dialect(head: bytes, given: Mapping[str, Any], *, complete: bool, filename: str) -> Dialect:
    """The dialect of the text that begins with `head`; `complete` says that this is all of it.

    `given` holds the choices `delimiter`, `quote` and `has_header` that are settled already.

    Raises:
        UserError: `csv.undecodable` when the first record, or most of them, are not UTF-8.
    """
    sample = head[:_SAMPLE_BYTES]
    whole = complete and len(head) <= _SAMPLE_BYTES
    trials = _trials(sample, given, whole=whole, filename=filename)
    best = _best(trials)
    if best is None:
        return _single_column(sample, given, whole=whole, filename=filename)
    has_header, header_confidence = _judge_header(best.records)
    header = bool(given.get("has_header", has_header))
    choices = [_delimiter_choice(best, trials, settled="delimiter" in given)]
    if "has_header" not in given:
        choices.append((header_confidence, "no header" if header else "a header"))
    confidence, runner_up = min(choices, key=lambda choice: choice[0])
    return Dialect(best.delimiter, best.quote, header, round(confidence, 2), runner_up)


def _trials(sample: bytes, given: Mapping[str, Any], *, whole: bool, filename: str) -> list[_Trial]:
    delimiters = [given["delimiter"]] if "delimiter" in given else [d for d in DELIMITERS if d.encode() in sample]
    quote = given.get("quote", '"')
    trials = [_try(sample, delimiter, quote, whole=whole, filename=filename) for delimiter in delimiters]
    if "quote" in given or b'"' not in sample or any(t.width > 1 and t.share >= 1 - _QUOTES_ARE_TEXT for t in trials):
        return trials
    return trials + [_try(sample, delimiter, None, whole=whole, filename=filename) for delimiter in delimiters]


def _try(sample: bytes, delimiter: str, quote: str | None, *, whole: bool, filename: str) -> _Trial:
    cutter = RecordCutter(delimiter=delimiter, quote=quote, max_record_bytes=_SAMPLE_BYTES)
    block = next(cutter.blocks([(sample, whole)]))
    raws = [block.record(number) for number in range(min(block.record_count, _SAMPLE_RECORDS))]
    if not raws and not whole:
        raws = [sample]  # one record longer than the sample
    records = _fields(_decoded(raws, filename), delimiter, quote)
    widths = Counter(len(record) for record in records)
    width, count = widths.most_common(1)[0] if widths else (0, 0)
    last_line = block.line(len(raws) - 1) if block.record_count > len(raws) else None
    rejects = sum(1 for reject in block.rejects if last_line is None or reject.line <= last_line)
    share = count / max(len(raws) + rejects, 1)
    if records and len(records[0]) != width:
        share /= 2
    return _Trial(delimiter, quote, records, width, share)


def _decoded(raws: list[bytes], filename: str) -> list[str]:
    texts = []
    for number, raw in enumerate(raws):
        try:
            texts.append(raw.decode())
        except UnicodeDecodeError as error:
            if number == 0:
                raise UserError("csv.undecodable", "the first record is not UTF-8", place=Place(file=filename, line=1)) from error
    if len(texts) < _USABLE_SHARE * len(raws):
        message = f"{len(raws) - len(texts)} of the first {len(raws)} records are not UTF-8"
        raise UserError("csv.undecodable", message, place=Place(file=filename))
    return texts


def _fields(texts: list[str], delimiter: str, quote: str | None) -> list[list[str]]:
    short = [text for text in texts if len(text) <= _SAMPLE_FIELD_CHARS]
    if quote is None:
        return [text.split(delimiter) for text in short]
    return [row for text in short for row in csv.reader([text], delimiter=delimiter, quotechar=quote)]


def _best(trials: list[_Trial]) -> _Trial | None:
    usable = [trial for trial in trials if trial.width > 1 and trial.share >= _USABLE_SHARE]
    quoted = [trial for trial in usable if trial.quote is not None]
    plain = [trial for trial in usable if trial.quote is None]
    if quoted and plain and max(t.share for t in plain) <= max(t.share for t in quoted) + _QUOTES_ARE_TEXT:
        usable = quoted
    elif plain:
        usable = plain
    if not usable:
        return None
    top = max(trial.share for trial in usable)
    close = [trial for trial in usable if trial.share >= top - _CLOSE]
    return close[0] if len(close) == 1 else max(close, key=lambda trial: trial.worth)


def _delimiter_choice(best: _Trial, trials: list[_Trial], *, settled: bool) -> tuple[float, str | None]:
    others = [t for t in trials if t.delimiter != best.delimiter and t.width > 1]
    if settled or not others:
        return (1.0 if settled else best.share), None
    second = max(others, key=lambda trial: trial.share)
    return min(best.share, max(1.0 - second.share / 2, _USABLE_SHARE)), f"delimiter {_NAMES[second.delimiter]}"


def _single_column(sample: bytes, given: Mapping[str, Any], *, whole: bool, filename: str) -> Dialect:
    """No delimiter makes a table: every line is one field, and the delimiter is one that does not occur."""
    unused = [delimiter for delimiter in DELIMITERS if delimiter.encode() not in sample]
    delimiter = given.get("delimiter", unused[0] if unused else ",")
    quote = given.get("quote", '"')
    trial = _try(sample, delimiter, quote, whole=whole, filename=filename)
    has_header, header_confidence = _judge_header(trial.records)
    header = bool(given.get("has_header", has_header))
    return Dialect(delimiter, quote, header, min(0.5, header_confidence), "more than one column")


def _judge_header(records: list[list[str]]) -> tuple[bool, float]:
    """Whether the first record is a header, and how sure that is."""
    if not records:
        return True, 0.5
    first, body = records[0], [record for record in records[1:_HEADER_RECORDS] if len(record) == len(records[0])]
    votes = [_vote(cell, [record[number] for record in body]) for number, cell in enumerate(first[:_SAMPLE_COLUMNS])]
    balance = sum(votes)
    if balance:
        return balance > 0, 0.6 + 0.4 * abs(balance) / max(sum(abs(vote) for vote in votes), 1)
    named = [cell.strip() for cell in first]
    looks_like_names = any(named) and not any(cell and _TYPED_FIELD.fullmatch(cell) for cell in named)
    repeated = any(cell and any(record[number].strip() == cell for record in body) for number, cell in enumerate(named))
    distinct = len(set(named)) == len(named)
    return looks_like_names and distinct and not repeated, 0.6


def _vote(cell: str, below: list[str]) -> int:
    """1 when a cell stands apart from the cells below it, -1 when it is one of them, 0 when it says nothing."""
    kind = join(*{likely_kind(text) for text in below})
    if kind in (Kind.NULL, Kind.TEXT) or not cell.strip():
        return 0
    own = likely_kind(cell)
    if own is Kind.TEXT or (_YEAR.fullmatch(cell) and not all(_YEAR.fullmatch(other) for other in below)):
        return 1
    return -1 if own is not Kind.NULL else 0

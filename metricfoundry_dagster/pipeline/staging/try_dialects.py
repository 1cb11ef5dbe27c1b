"""Tries dialects on a sample of text, and chooses the one that makes a table of it.

A dialect is good when nearly all records have one and the same number of fields, more than one, and many fields are
numbers or dates. What is common is preferred: a comma, quotes that are doubled, no blanks that do not count. Anything
else must make the sample clearly more of a table.

Source of the idea: van den Burg, Nazábal and Sutton, "Wrangling messy CSV files by detecting row and type patterns", 2019,
https://doi.org/10.1007/s10618-019-00646-y. There, too, consistency comes first, and types decide between equals.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.pipeline.staging.cut_records import RecordCutter
from metricfoundry_dagster.pipeline.staging.split_fields import FieldRule, split_fields

SAMPLE_BYTES = 64 * 1024
DELIMITERS = (",", "\t", ";", "|")
#: These are found in text of any kind, so that they must prove themselves.
RARE_DELIMITERS = (" ", "^", "~", "\x1f", "\x01")
QUOTES = ('"', "'")
_ESCAPE = "\\"
_SAMPLE_RECORDS = 300
#: Dialects this close in consistency are told apart by what their fields hold.
_CLOSE = 0.05
#: How much more consistent a file must be with rarer quotes, or without any, before these are believed.
_RARER_QUOTES = 0.1
#: The same for a quote that is escaped, or comes behind a blank, and for a rare delimiter.
_ODD, _RARE = 0.01, 0.1
#: Nearly every field begins with a blank: then it belongs to the delimiter.
_BLANK_SHARE = 0.95
_USABLE_SHARE = 0.5
_PAIR = 2
_PROVED_SHARE = 0.9
#: With nothing better, a dialect is believed whose records often agree, and often hold numbers and dates.
_POOR_SHARE, _POOR_TYPED, _POOR_WIDTH = 0.4, 0.35, 3
TYPED_FIELD = re.compile(
    r"\s*(-?\d+([.,]\d+)?([eE][+-]?\d+)?|\d{4}-\d\d-\d\d([ T].*)?|\d\d?[./]\d\d?[./]\d{2,4}|\d\d?:\d\d(:\d\d)?"
    r"|true|false|NA|null|)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Trial:
    """One dialect on the sample: its records in order with their physical lines, and how many were no records at all.

    `quotes_seen` says that there are fields which its quotes open and close.
    """

    rule: FieldRule
    quotes_seen: bool
    records: Sequence[Sequence[str]]
    lines: Sequence[int]
    rejected: int

    @cached_property
    def width(self) -> int:
        """The number of fields that most records have; 0 without records."""
        widths = Counter(len(record) for record in self.records)
        return widths.most_common(1)[0][0] if widths else 0

    @cached_property
    def share(self) -> float:
        """The share of records that have this number, among all and what was no record."""
        count = sum(len(record) == self.width for record in self.records)
        share = count / max(len(self.records) + self.rejected, 1)
        # Of two columns nothing is a title: what has one field is more likely all there is.
        return share / 2 if self.width == _PAIR and len(self.records[0]) != _PAIR else share

    @cached_property
    def worth(self) -> tuple[float, int]:
        """The share of fields that hold a number or a date or nothing, and their number in a record."""
        fields = [field for record in self.records if len(record) == self.width for field in record]
        typed = sum(1 for field in fields if TYPED_FIELD.fullmatch(field))
        return round(typed / max(len(fields), 1), 2), self.width

    @property
    def is_usable(self) -> bool:
        """Whether it makes a table at all."""
        return self.width > 1 and self.share >= (_PROVED_SHARE if self.rule.delimiter in RARE_DELIMITERS else _USABLE_SHARE)


def try_dialects(sample: bytes, given: Mapping[str, Any], *, whole: bool, filename: str) -> list[Trial]:
    """A trial of each dialect that may be meant; `given` holds what is settled. `whole` says that the sample is the whole text.

    Raises:
        UserError: `csv.undecodable` when the first record, or most of them, are not UTF-8.
    """
    trials: list[Trial] = []
    for delimiter in _delimiters(sample, given):
        if delimiter in RARE_DELIMITERS and any(trial.width > 1 and trial.share >= 1 - _RARE for trial in trials):
            break  # a rare one could not be so much better
        for quote in _quotes(sample, given, delimiter):
            rules = list(_rules(sample, given, delimiter, quote))
            trials += [try_rule(sample, rule, whole=whole, filename=filename) for rule in rules]
            if quote == '"' and trials[-1].width > 1 and max(trial.share for trial in trials) == 1:
                break  # nothing can be more consistent
    return trials


def choose(trials: Sequence[Trial]) -> Trial | None:
    """The best of them, None when none makes a table."""
    usable = [trial for trial in trials if trial.is_usable]
    common = [trial for trial in usable if trial.rule.delimiter in DELIMITERS]
    rare = [trial for trial in usable if trial.rule.delimiter not in DELIMITERS]
    usable = _unless_better(common, rare, _RARE)
    for quote in (*QUOTES, None):
        of_quote = [trial for trial in usable if trial.rule.quote == quote]
        others = [trial for trial in usable if trial.rule.quote != quote]
        by = _RARER_QUOTES if any(trial.quotes_seen for trial in of_quote) else _ODD
        if of_quote and _unless_better(of_quote, others, by) is of_quote:
            usable = of_quote
            break
    if not usable:
        return _least_bad(trials)
    top = max(trial.share for trial in usable)
    close = [trial for trial in usable if trial.share >= top - _CLOSE]
    delimiter = max(close, key=lambda trial: trial.worth).rule.delimiter if len({t.rule.delimiter for t in close}) > 1 else None
    return _plainest([trial for trial in usable if delimiter in (None, trial.rule.delimiter)])


def try_rule(sample: bytes, rule: FieldRule, *, whole: bool, filename: str) -> Trial:
    """What one dialect makes of the sample."""
    block = next(RecordCutter(rule, max_record_bytes=SAMPLE_BYTES).blocks([(sample, whole)]))
    count = min(block.record_count, _SAMPLE_RECORDS)
    raws = [block.record(number) for number in range(count)]
    lines = [block.line(number) for number in range(count)]
    if not raws and not whole:
        raws, lines = [sample], [1]  # one record longer than the sample
    records = [split_fields(text, rule) for text in _decoded(raws, filename)]
    last_line = lines[-1] if block.record_count > count else None
    rejected = sum(1 for reject in block.rejects if last_line is None or reject.first_line <= last_line)
    return Trial(rule, _opens_and_closes(rule.quote, rule.delimiter, sample), records, lines, rejected)


def _delimiters(sample: bytes, given: Mapping[str, Any]) -> list[str]:
    if "delimiter" in given:
        return [given["delimiter"]]
    return [delimiter for delimiter in DELIMITERS + RARE_DELIMITERS if delimiter.encode() in sample]


def _quotes(sample: bytes, given: Mapping[str, Any], delimiter: str) -> list[str | None]:
    if "quote" in given:
        return [given["quote"]]
    if b'"' not in sample and not _opens_and_closes("'", delimiter, sample):
        return ['"']
    found: list[str | None] = ['"']
    if _opens_and_closes("'", delimiter, sample):
        found.append("'")
    return [*found, None]


def _rules(sample: bytes, given: Mapping[str, Any], delimiter: str, quote: str | None) -> Iterator[FieldRule]:
    """The plain one first, and those that the sample gives reason to try."""
    escapes = [given.get("escape")]
    if "escape" not in given and quote is not None and f"{_ESCAPE}{quote}".encode() in sample:
        escapes.append(_ESCAPE)
    skips = [bool(given.get("skip_spaces", False))]
    if "skip_spaces" not in given and delimiter != " " and f"{delimiter} ".encode() in sample:
        skips.append(True)
    for escape in escapes:
        for skip_spaces in skips:
            yield FieldRule(delimiter, quote, escape, skip_spaces)


def _opens_and_closes(quote: str | None, delimiter: str, sample: bytes) -> bool:
    """Whether there are fields that begin and fields that end with this mark."""
    if quote is None:
        return False
    mark, edge = re.escape(quote.encode()), b"(?:" + re.escape(delimiter.encode()) + b"|[\r\n]|^|$)"
    return bool(re.search(edge + b" ?" + mark, sample) and re.search(mark + edge, sample))


def _least_bad(trials: Sequence[Trial]) -> Trial | None:
    poor = [t for t in trials if t.share >= _POOR_SHARE and t.worth[0] >= _POOR_TYPED and t.width >= _POOR_WIDTH]
    return max(poor, key=lambda trial: trial.share * trial.worth[0], default=None)


def _plainest(trials: Sequence[Trial]) -> Trial:
    """Of trials with one delimiter the most consistent, unless a plainer one is as good."""
    best = trials[0]
    for trial in trials[1:]:
        if trial.share > best.share + _ODD or (trial.share >= best.share and _blanks_belong_to_delimiter(best, trial)):
            best = trial
    return best


def _blanks_belong_to_delimiter(plain: Trial, skipping: Trial) -> bool:
    if plain.rule.skip_spaces or not skipping.rule.skip_spaces or plain.rule.escape != skipping.rule.escape:
        return False
    fields = [field for record in plain.records for field in record[1:] if field]
    return bool(fields) and sum(field.startswith(" ") for field in fields) >= _BLANK_SHARE * len(fields)


def _unless_better(preferred: list[Trial], others: list[Trial], by: float) -> list[Trial]:
    if not preferred:
        return others
    best, other = (max((trial.share for trial in trials), default=0.0) for trials in (preferred, others))
    return others if other > best + by else preferred


def _decoded(raws: list[bytes], filename: str) -> list[str]:
    texts = []
    for number, raw in enumerate(raws):
        try:
            texts.append(raw.decode())
        except UnicodeDecodeError as error:
            if number == 0:
                raise UserError("csv.undecodable", "the first record is not UTF-8", place=Place(file=filename, line=1)) from error
            texts.append(raw.decode(errors="replace"))
    return texts

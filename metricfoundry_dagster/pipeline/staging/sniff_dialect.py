"""Finds the dialect of delimited text by trying every one on a sample, and says how sure the answer is.

The trials are `try_dialects.py`'s; where the table begins and whether it has a header is `find_layout.py`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metricfoundry_dagster.pipeline.staging.find_layout import Layout, find_layout
from metricfoundry_dagster.pipeline.staging.split_fields import FieldRule
from metricfoundry_dagster.pipeline.staging.try_dialects import DELIMITERS, SAMPLE_BYTES, Trial, choose, try_dialects, try_rule

_LEAST_CONFIDENCE = 0.5
_NAMES = {
    ",": "comma",
    "\t": "tab",
    ";": "semicolon",
    "|": "bar",
    " ": "blank",
    "^": "circumflex",
    "~": "tilde",
    "\x1f": "unit separator",
    "\x01": "control-A",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What was found. `confidence` in 0..1 is that of the weakest choice, `runner_up` names its alternative."""

    rule: FieldRule
    has_header: bool
    header_rows: int
    preamble_lines: int
    confidence: float
    runner_up: str | None


def sniff_dialect(head: bytes, given: Mapping[str, Any], *, complete: bool, filename: str) -> Dialect:
    """The dialect of the UTF-8 text that begins with `head`; `complete` says that this is all of it.

    `given` holds the choices of a recipe that are settled already.

    Raises:
        UserError: `csv.undecodable` when the first record is not UTF-8.
    """
    sample = head[:SAMPLE_BYTES]
    whole = complete and len(head) <= SAMPLE_BYTES
    trials = try_dialects(sample, given, whole=whole, filename=filename)
    best = choose(trials)
    if best is None:
        return _single_column(sample, given, whole=whole, filename=filename)
    layout = find_layout(best, given.get("preamble_lines"))
    choices = [_delimiter_choice(best, trials, settled="delimiter" in given)]
    has_header = bool(given.get("has_header", layout.has_header))
    if "has_header" not in given:
        choices.append((layout.confidence, "no header" if has_header else "a header"))
    confidence, runner_up = min(choices, key=lambda choice: choice[0])
    return _dialect(best.rule, layout, given, confidence, runner_up)


def _dialect(rule: FieldRule, layout: Layout, given: Mapping[str, Any], confidence: float, runner_up: str | None) -> Dialect:
    return Dialect(
        rule,
        bool(given.get("has_header", layout.has_header)),
        int(given.get("header_rows", layout.header_rows)),
        layout.preamble_lines,
        round(confidence, 2),
        runner_up,
    )


def _delimiter_choice(best: Trial, trials: Sequence[Trial], *, settled: bool) -> tuple[float, str | None]:
    others = [t for t in trials if t.rule.delimiter != best.rule.delimiter and t.width > 1 and t.rule.delimiter in DELIMITERS]
    if settled or not others:
        return (1.0 if settled else best.share), None
    second = max(others, key=lambda trial: trial.share)
    sure = min(best.share, max(1.0 - second.share / 2, _LEAST_CONFIDENCE))
    return sure, f"delimiter {_NAMES.get(second.rule.delimiter, repr(second.rule.delimiter))}"


def _single_column(sample: bytes, given: Mapping[str, Any], *, whole: bool, filename: str) -> Dialect:
    """No delimiter makes a table: every line is one field, and the delimiter is one that does not occur."""
    unused = [delimiter for delimiter in DELIMITERS if delimiter.encode() not in sample]
    delimiter = given.get("delimiter", unused[0] if unused else ",")
    rule = FieldRule(delimiter, given.get("quote", '"'), given.get("escape"), bool(given.get("skip_spaces", False)))
    trial = try_rule(sample, rule, whole=whole, filename=filename)
    layout = find_layout(trial, given.get("preamble_lines", 0))
    return _dialect(rule, layout, given, min(_LEAST_CONFIDENCE, layout.confidence), "more than one column")

"""Parses one piece of JSON strictly: numbers keep their text, and whatever JSON does not allow has a code and a reason."""

import json
from dataclasses import dataclass
from typing import Any

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.pipeline.staging.find_json_marks import deepest
from metricfoundry_dagster.pipeline.staging.json_text import RawNumber, json_text
from metricfoundry_dagster.pipeline.staging.rejects import Reject


@dataclass(frozen=True, slots=True)
class Words:
    """How the faults of a piece are called: it is a line of a file, or an element of a document."""

    noun: str
    invalid: str
    not_an_object: str


LINE = Words("line", "jsonl.invalid_json", "jsonl.not_an_object")
ELEMENT = Words("element", "json.invalid_element", "json.not_an_object")
_MAX_RECURSION = 400
_DELIMITED = (b"{", b"[", b'"')
_NO_NUMBERS = (b"NaN", b"Infinity", b"-Infinity")
_SHOWN_BYTES = 100


class BadJsonError(Exception):
    """A piece is not what it must be; `code` and `reason` say why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class _TwiceError(ValueError):
    """A key occurs twice in one object."""


def parse_value(raw: bytes, words: Words, *, max_depth: int) -> Any:
    """The value of a piece, its numbers as `RawNumber`. `max_depth` bounds objects and lists inside each other.

    Raises:
        BadJsonError: `text.invalid_encoding`, `json.duplicate_key`, `json.too_deep`, or the code of `words` for invalid JSON.
    """
    if raw.count(b"[") + raw.count(b"{") > max_depth and deepest(raw) > min(max_depth, _MAX_RECURSION):
        raise BadJsonError("json.too_deep", f"the values are nested more than {max_depth} deep")
    try:
        value = _DECODER.decode(raw.decode())
        if b"\\u" in raw:
            json_text(value).encode()
    except UnicodeDecodeError as error:
        reason = f"byte {raw[error.start]:#04x} at offset {error.start} of the {words.noun} is not UTF-8"
        raise BadJsonError("text.invalid_encoding", reason) from error
    except UnicodeEncodeError as error:
        raise BadJsonError(words.invalid, "an escape is one half of a surrogate pair") from error
    except RecursionError as error:
        raise BadJsonError("json.too_deep", "the values are nested too deeply") from error
    except _TwiceError as error:
        raise BadJsonError("json.duplicate_key", str(error)) from error
    except ValueError as error:  # also what the hooks of the decoder raise
        raise BadJsonError(words.invalid, f"not valid JSON: {error}") from error
    return value


def parse_object(raw: bytes, words: Words, *, max_depth: int) -> dict[str, Any]:
    """The object of a piece. Raises BadJsonError as `parse_value`, and when it is none."""
    value = parse_value(raw, words, max_depth=max_depth)
    if not isinstance(value, dict):
        raise BadJsonError(words.not_an_object, f"the {words.noun} is JSON, but not an object")
    return value


def reject_of(fault: BadJsonError, raw: bytes, line: int, words: Words, filename: str) -> Reject:
    """The reject for a bad piece.

    Raises:
        UserError: `json.invalid` for an element without brackets or quotes of its own: who knows where that ends? A `NaN` is
            one that many writers put there.
    """
    if words is ELEMENT and fault.code == words.invalid and raw[:1] not in _DELIMITED and raw not in _NO_NUMBERS:
        message = f"an element of the list is no JSON value: {raw[:_SHOWN_BYTES].decode('utf-8', 'replace')!r}"
        raise UserError("json.invalid", message, place=Place(file=filename, line=line))
    return Reject(line, fault.code, fault.reason, raw)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _value in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add gives None, which is meant
        raise _TwiceError(f"the key {twice[:100]!r} occurs twice in one object")
    return members


_DECODER = json.JSONDecoder(parse_int=RawNumber, parse_float=RawNumber, parse_constant=_no_constant, object_pairs_hook=_distinct)

"""A finding: a judgement on data, with a stable code. Bad data is a result, not an exception."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding weighs: only an error can close a gate."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement. `code` reads `column|rule` for rules and `area.event` otherwise; `count` is in rows.

    `examples` are the first few offending places or values, as JSON objects.
    """

    code: str
    severity: Severity
    message: str
    table: str | None = None
    column: str | None = None
    count: int = 0
    examples: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Finding":
        """Read a finding out of a manifest."""
        examples = tuple(document["examples"])
        return cls(**{**document, "severity": Severity(document["severity"]), "examples": examples})

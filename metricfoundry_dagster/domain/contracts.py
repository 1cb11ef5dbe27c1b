"""A contract: what a datasource's tables must look like. Values only; reading and judging is `pipeline/validation`."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

Scalar = bool | int | float | str | date | datetime


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What one column must hold. `minimum` and `maximum` are inclusive; None means that nothing is asked."""

    name: str
    #: A PyArrow type as it prints itself, such as `int64` or `timestamp[us]`.
    type: str | None = None
    nullable: bool = True
    required: bool = True
    unique: bool = False
    minimum: Scalar | None = None
    maximum: Scalar | None = None
    #: Exclusive bounds: every value lies above the one and below the other.
    above: Scalar | None = None
    below: Scalar | None = None
    allowed: tuple[Scalar, ...] | None = None
    #: A regular expression that the whole text must match.
    pattern: str | None = None
    #: Share of nulls in 0..1 above which the dataset's profile fails its gate.
    max_null_share: float | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """A named contract for every table of a datasource. Shares lie in 0..1; None takes the setting's default."""

    name: str
    version: int = 1
    columns: tuple[ColumnRule, ...] = ()
    #: Groups of columns whose values together may occur once only.
    unique: tuple[tuple[str, ...], ...] = ()
    on_bad_rows: Literal["quarantine", "fail"] = "quarantine"
    max_reject_share: float | None = None
    max_quarantine_share: float | None = None
    max_duplicate_share: float | None = None
    min_rows: int | None = None
    time_column: str | None = None
    description: str = ""
    source: str = field(default="", compare=False)

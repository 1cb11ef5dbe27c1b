"""The values that a profile report is made of, and its JSON form: report.json, version 1.

Every key is always there; one that does not apply to a column's kind is null. All numbers are exact unless said
otherwise. `docs/guide/report.md` describes the document for its readers: change both together, and raise
`REPORT_VERSION` when a reader of the old document would be misled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from metricfoundry_dagster.domain.findings import Finding

REPORT_VERSION = 1

#: number: integers, floating-point numbers, decimals, durations. other: nested values, read as JSON text.
Kind = Literal["number", "time", "boolean", "text", "binary", "other", "null"]
#: A value as JSON shows it: decimals, times, bytes (hexadecimal), NaN and the infinities as text.
Shown = bool | int | float | str


@dataclass(frozen=True, slots=True)
class TopValue:
    """A value, the rows that hold it, and their share of all rows."""

    value: Shown
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[i]` values lie from `edges[i]` up to, not including, `edges[i + 1]`; the last bin includes its end.

    All finite values are counted; the first edge is the smallest value or, of times, a round moment before it.
    """

    edges: tuple[Shown, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutlierExample:
    """A row, counted from 1 over all parts of the table in order, and its value."""

    row: int
    value: Shown


@dataclass(frozen=True, slots=True)
class Outliers:
    """Values outside Tukey's fences: quartiles less and plus 1.5 interquartile ranges. A fence beyond double is None."""

    lower_fence: Shown | None
    upper_fence: Shown | None
    count: int
    #: The furthest outside, furthest first.
    examples: tuple[OutlierExample, ...]


@dataclass(frozen=True, slots=True)
class TextLengths:
    """Lengths over the rows that are not null: characters of text, bytes of binary values."""

    min: int
    mean: float
    max: int


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """The numbers of one column. Shares lie in 0..1 of all rows, and are 0 in a table without rows.

    Numbers and times: `min` … `outliers` speak of finite values only. `quantiles` are keyed by per cent.
    """

    name: str
    #: As PyArrow prints it.
    type: str
    kind: Kind
    nulls: int
    null_share: float
    #: Texts that are empty or white space; these are values all the same.
    blanks: int
    #: Nulls and blanks.
    missing: int
    missing_share: float
    #: Different values that are not null. Every NaN is the same value, and -0.0 is 0.0.
    distinct: int
    #: Every row has a value, and no two the same.
    is_unique: bool
    #: Every row has the same value; never in a table of one row.
    is_constant: bool
    min: Shown | None = None
    max: Shown | None = None
    mean: float | None = None
    #: Sample standard deviation, divided by n - 1.
    std: float | None = None
    #: Linear interpolation at (n - 1) * p between sorted values; of times rounded down to the unit.
    quantiles: Mapping[str, Shown] | None = None
    zeros: int | None = None
    negatives: int | None = None
    nan: int | None = None
    positive_infinity: int | None = None
    negative_infinity: int | None = None
    #: `max` less `min` of times, in seconds.
    span_seconds: float | None = None
    true: int | None = None
    false: int | None = None
    lengths: TextLengths | None = None
    histogram: Histogram | None = None
    outliers: Outliers | None = None
    top_values: tuple[TopValue, ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateExample:
    """A row and the earlier row that it repeats, counted from 1."""

    row: int
    repeats: int


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table. `size_bytes` is that of its Parquet parts."""

    name: str
    rows: int
    size_bytes: int
    #: Rows that repeat an earlier row in every column; null equals null and nothing else.
    duplicate_rows: int
    duplicate_share: float
    duplicate_examples: tuple[DuplicateExample, ...]
    #: Nulls and blanks of all columns, and their share of all cells.
    missing: int
    missing_share: float
    columns: tuple[ColumnReport, ...]


@dataclass(frozen=True, slots=True)
class TableLedger:
    """What became of a table's rows before they were reported; None where a stage did not run."""

    table: str
    read: int | None
    rejected: int | None
    staged: int | None
    quarantined: int | None
    valid: int | None
    reported: int


@dataclass(frozen=True, slots=True)
class ReportSubject:
    """Whose report it is. A file that is no dataset of the catalog has a name only."""

    name: str
    dataset_id: str | None = None
    datasource: str | None = None
    attempt: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The profile of one dataset."""

    subject: ReportSubject
    created_at: datetime
    tables: tuple[TableReport, ...]
    ledger: tuple[TableLedger, ...] = ()
    findings: tuple[Finding, ...] = ()

    def to_bytes(self) -> bytes:
        """report.json: strict JSON (no NaN), UTF-8."""
        document = {
            "report_version": REPORT_VERSION,
            "dataset": self.subject,
            "created_at": self.created_at.isoformat(),
            "ledger": self.ledger,
            "findings": self.findings,
            "tables": self.tables,
        }
        # Indenting would leave the encoder written in C, and cost more than the rest of a small report.
        return json.dumps(document, ensure_ascii=False, allow_nan=False, default=_json_object).encode(errors="replace")

    def to_json(self) -> dict[str, Any]:
        """The same document as JSON values."""
        document: dict[str, Any] = json.loads(self.to_bytes())
        return document


def _json_object(value: Any) -> dict[str, Any]:
    return {name.name: getattr(value, name.name) for name in fields(value)}

"""What a stage gives: files, a ledger per table, findings and the verdict of its gate, all as values.

A product's files lie under its attempt already; they count only once the product is published. The JSON form
of a product is the manifest of its stage.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

from metricfoundry_dagster.domain.errors import ErrorRecord
from metricfoundry_dagster.domain.findings import Finding


class Stage(StrEnum):
    """The five assets, in order."""

    RAW_OBJECT = "raw_object"
    STAGED_PARQUET = "staged_parquet"
    VALIDATED_FRAME = "validated_frame"
    PROFILE_REPORT = "profile_report"
    DRUID_DATASOURCE = "druid_datasource"

    @property
    def upstream(self) -> "Stage | None":
        """The stage before, None for the first."""
        stages = list(Stage)
        position = stages.index(self)
        return stages[position - 1] if position else None


class Root(StrEnum):
    """The three roots of the object store; each may be a bucket of its own."""

    UPLOADS = "uploads"
    ARTIFACTS = "artifacts"
    REPORTS = "reports"


Role = Literal["source", "part", "rejects", "lines", "quarantine", "report"]


@dataclass(frozen=True, slots=True)
class ProductFile:
    """One immutable file of a product. `rows` is None where rows mean nothing."""

    root: Root
    key: str
    role: Role
    table: str | None
    rows: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is as PyArrow prints it; `source_name` is None in a file without a header."""

    name: str
    source_name: str | None
    type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class TableProduct:
    """One table of a product with its ledger: every row in is a row out or a row rejected."""

    name: str
    columns: tuple[Column, ...]
    rows_in: int
    rows_out: int
    rows_rejected: int
    error: ErrorRecord | None = None

    @property
    def balances(self) -> bool:
        """Whether no row is unaccounted for."""
        return self.rows_in == self.rows_out + self.rows_rejected


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict that decides whether the next stage may run. `error` is set exactly when it failed."""

    passed: bool
    summary: str
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class StageProduct:
    """Everything that one stage made of one dataset in one attempt.

    `details` holds what only this stage says (checksum, recipe, contract, served version), as JSON values.
    """

    stage: Stage
    dataset_id: str
    attempt: int
    files: tuple[ProductFile, ...]
    tables: tuple[TableProduct, ...]
    findings: tuple[Finding, ...]
    gate: Gate
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows_out(self) -> int:
        """Rows that went on, over all tables."""
        return sum(table.rows_out for table in self.tables)

    @property
    def rows_rejected(self) -> int:
        """Rows put aside in this stage, over all tables."""
        return sum(table.rows_rejected for table in self.tables)

    def files_of(self, role: Role, table: str | None = None) -> tuple[ProductFile, ...]:
        """The files of one role, of one table if it is given, in the order in which they were written."""
        return tuple(f for f in self.files if f.role == role and (table is None or f.table == table))

    def to_json(self) -> dict[str, Any]:
        """The manifest document; `from_json` is its inverse."""
        document = asdict(self)
        document["gate"]["error"] = self.gate.error.to_json() if self.gate.error else None
        for table, entry in zip(self.tables, document["tables"], strict=True):
            entry["error"] = table.error.to_json() if table.error else None
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "StageProduct":
        """Read a manifest document."""
        gate = document["gate"]
        return cls(
            stage=Stage(document["stage"]),
            dataset_id=document["dataset_id"],
            attempt=document["attempt"],
            files=tuple(ProductFile(**{**f, "root": Root(f["root"])}) for f in document["files"]),
            tables=tuple(_table_from_json(t) for t in document["tables"]),
            findings=tuple(Finding.from_json(f) for f in document["findings"]),
            gate=Gate(gate["passed"], gate["summary"], _error_from_json(gate["error"])),
            details=document["details"],
        )


def _table_from_json(document: Mapping[str, Any]) -> TableProduct:
    columns = tuple(Column(**column) for column in document["columns"])
    return TableProduct(**{**document, "columns": columns, "error": _error_from_json(document["error"])})


def _error_from_json(document: Mapping[str, Any] | None) -> ErrorRecord | None:
    return ErrorRecord.from_json(document) if document else None

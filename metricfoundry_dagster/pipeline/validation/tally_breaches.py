"""Counts what is broken, with the first few examples, and makes findings of it."""

from typing import TYPE_CHECKING, Any

from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.pipeline.validation.compiled_contract import CompiledContract
from metricfoundry_dagster.pipeline.validation.describe_bad_rows import examples

if TYPE_CHECKING:
    import polars as pl

_EXAMPLES = 5


class BreachTally:
    """What the rows of one table break, by check of its contract."""

    def __init__(self, contract: CompiledContract) -> None:
        self._contract = contract
        self._counts = [0] * len(contract.checks)
        self._examples: list[list[dict[str, Any]]] = [[] for _ in contract.checks]

    def add(self, reasons: "pl.DataFrame", rows: "pl.Series") -> None:
        """Count the bad rows of one batch: their reasons, as `explain` gives them, and their numbers in the table."""
        for flag in reasons.columns:
            check = int(flag)
            self._counts[check] += reasons.height - reasons.get_column(flag).null_count()
            wanted = _EXAMPLES - len(self._examples[check])
            if wanted:
                self._examples[check] += examples(reasons, rows, flag, wanted)

    def findings(self, table: str, severity: Severity) -> tuple[Finding, ...]:
        """One finding for each check that a row breaks, and an error for each required column that is not there."""
        missing = [
            Finding(f"{name}|required", Severity.ERROR, f"the required column {name} is not in the table", table, name)
            for name in self._contract.missing
        ]
        broken = [
            Finding(
                code=f"{check.column_name}|{check.rule}",
                severity=severity,
                message=f"{count:,} {'row' if count == 1 else 'rows'}: {check.column_name} {check.complaint}",
                table=table,
                column=check.column_name,
                count=count,
                examples=tuple(seen),
            )
            for check, count, seen in zip(self._contract.checks, self._counts, self._examples, strict=True)
            if count
        ]
        return (*missing, *broken)

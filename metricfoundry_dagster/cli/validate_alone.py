"""Judging a file by a contract with no catalog: staged into a directory, which is removed unless it was named."""

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricfoundry_dagster.cli.remove_leftovers import remove_leftovers
from metricfoundry_dagster.cli.stage_alone import StagedAlone, columns_document, stage_alone
from metricfoundry_dagster.domain.contracts import Contract
from metricfoundry_dagster.domain.errors import ErrorRecord
from metricfoundry_dagster.domain.findings import Finding
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import ProductFile, TableProduct
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.pipeline.validation.judge_parts import Destination
from metricfoundry_dagster.pipeline.validation.validate_table import ValidatedTable, validate_table
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_contracts, build_limits, tidy_directory_store

#: Below the output directory. Parts in which every row holds are not written again.
_STAGED = "staged/"
_VALIDATED = "validated/"


@dataclass(frozen=True, slots=True)
class _Judged:
    """One staged table, and what became of it; None when it could not be staged."""

    staged: TableProduct
    validated: ValidatedTable | None

    @property
    def error(self) -> ErrorRecord | None:
        """Why it does not hold."""
        return self.validated.error if self.validated else self.staged.error


def validate_alone(
    path: str, contract_reference: str, out: str | None, settings: Settings, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The document of `validate --json`; lists files, relative to `out`, only if it is given.

    Raises:
        NotFoundError: `contract.not_found`.
        UserError: `contract.invalid`, or as staging does.
    """
    contract = read_contract(build_contracts(settings).read(contract_reference))
    directory: AbstractContextManager[str] = tempfile.TemporaryDirectory() if out is None else nullcontext(out)
    with directory as folder:
        staged = stage_alone(path, folder, _STAGED, settings, overrides)
        tables = [_judge(table, staged, contract, Path(path).name, build_limits(settings)) for table in staged.tables]
        written = [file for table in tables if table.validated for file in table.validated.files]
        remove_leftovers(staged.store, _VALIDATED, [table.name for table in staged.tables], written)
        tidy_directory_store(staged.directory)
    return _document(contract, tables, staged, keep_files=out is not None)


def _judge(table: TableProduct, staged: StagedAlone, contract: Contract, source: str, limits: Limits) -> _Judged:
    if table.error is not None:
        return _Judged(table, None)
    files = [file for file in staged.files if file.table == table.name]
    into = Destination(staged.store, _VALIDATED, source, limits.max_raw_chars)
    return _Judged(table, validate_table(table, files, contract, into, limits))


def _document(contract: Contract, tables: list[_Judged], staged: StagedAlone, *, keep_files: bool) -> dict[str, Any]:
    errors = [table.error for table in tables if table.error]
    rejects = [file for file in staged.files if file.role == "rejects"] if keep_files else []
    document = {
        "status": "error" if errors else "ok",
        "verdict": "fail" if errors else "pass",
        "summary": errors[0].message if errors else f"every table holds contract {contract.name!r}",
        "contract": contract.name,
        "tables": [_table_document(table, rejects, keep_files=keep_files) for table in tables],
        "findings": [_finding_document(f) for table in tables if table.validated for f in table.validated.findings],
    }
    return {**document, "error": errors[0].to_json()} if errors else document


def _table_document(table: _Judged, rejects: list[ProductFile], *, keep_files: bool) -> dict[str, Any]:
    product = table.validated.table if table.validated else None
    files = table.validated.files if table.validated and keep_files else ()
    document = {
        "name": table.staged.name,
        "rows_read": table.staged.rows_in,
        "rows_rejected": table.staged.rows_rejected,
        "rows_staged": table.staged.rows_out,
        "rows_valid": product.rows_out if product else 0,
        "rows_quarantined": product.rows_rejected if product else 0,
        "files": [file.key for file in files if file.role == "part"],
        "quarantine": [file.key for file in files if file.role == "quarantine"],
        "rejects": [file.key for file in rejects if file.table == table.staged.name],
        "columns": columns_document((product or table.staged).columns),
    }
    return {**document, "error": table.error.to_json()} if table.error else document


def _finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "table": finding.table,
        "column": finding.column,
        "count": finding.count,
        "examples": list(finding.examples),
    }

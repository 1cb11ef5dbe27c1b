"""One staged table against a contract: its valid rows, its quarantine, its findings, and whether its gate holds.

The stage of a whole dataset is `validate_dataset`; how the parts are read and written is `judge_parts`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from metricfoundry_dagster.domain.contracts import Contract
from metricfoundry_dagster.domain.errors import ErrorRecord, InternalError, Place, UserError
from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column, ProductFile, TableProduct
from metricfoundry_dagster.pipeline.row_lines import RowLines
from metricfoundry_dagster.pipeline.validation.compile_rules import compile_contract, missing_columns
from metricfoundry_dagster.pipeline.validation.compiled_contract import CompiledContract
from metricfoundry_dagster.pipeline.validation.judge_parts import Destination, PartsJudge
from metricfoundry_dagster.pipeline.validation.parquet_parts import open_part
from metricfoundry_dagster.ports.object_store import ObjectStore

BATCH_ROWS = 128 * 1024


@dataclass(frozen=True, slots=True)
class ValidatedTable:
    """What became of one table. `error` says why its gate does not hold; the files and the ledger are whole even so."""

    table: TableProduct
    files: tuple[ProductFile, ...]
    findings: tuple[Finding, ...]
    error: ErrorRecord | None


def validate_table(
    table: TableProduct,
    files: Sequence[ProductFile],
    contract: Contract,
    into: Destination,
    limits: Limits,
    *,
    on_rows: Callable[[int], None] = lambda _: None,
    batch_rows: int = BATCH_ROWS,
) -> ValidatedTable:
    """Judge every row of a staged table, batch by batch; write the parts that change, and a quarantine if there are bad rows.

    `files` are what staging wrote of the table: its parts, and where it has lines the file that tells them. Each rule
    is judged by itself on the rows as they were staged: a row that repeats the key of an earlier one is a repetition
    even when that one is bad. `on_rows` is told of rows done: each row once, and once more when a key must be unique.

    Raises:
        InternalError: `validation.out_of_balance` when a row is unaccounted for.
    """
    parts = [file for file in files if file.role == "part"]
    compiled = _compile(contract, table, parts, into.store)
    judge = PartsJudge(table.name, compiled, into, on_rows, batch_rows, _row_lines(files, into.store))
    judge.judge(parts)
    if judge.rows_in != table.rows_out or judge.rows_valid + judge.rows_bad != judge.rows_in:
        message = f"{table.rows_out} rows staged, {judge.rows_in} read, {judge.rows_valid} valid, {judge.rows_bad} quarantined"
        raise InternalError("validation.out_of_balance", message, place=Place(table=table.name))
    too_many = _too_many_bad_rows(contract, judge, limits, table.name)
    product = replace(
        table,
        columns=_columns_after(table.columns, compiled),
        rows_in=judge.rows_in,
        rows_out=judge.rows_valid,
        rows_rejected=judge.rows_bad,
    )
    findings = judge.tally.findings(table.name, Severity.ERROR if too_many else Severity.WARN)
    return ValidatedTable(product, tuple(judge.files), findings, _missing(compiled, table.name) or too_many)


def _row_lines(files: Sequence[ProductFile], store: ObjectStore) -> RowLines | None:
    for file in files:
        if file.role == "lines":
            with store.local(file.root, file.key) as path:
                return RowLines.read(path)
    return None


def pass_table(table: TableProduct, parts: Sequence[ProductFile]) -> ValidatedTable:
    """A table of which nothing is asked: every staged file goes on as it is, unread."""
    product = replace(table, rows_in=table.rows_out, rows_rejected=0)
    return ValidatedTable(product, tuple(parts), (), None)


def _compile(contract: Contract, table: TableProduct, parts: Sequence[ProductFile], store: ObjectStore) -> CompiledContract:
    if not parts:
        return CompiledContract(missing=missing_columns(contract, table.columns))
    with open_part(parts[0], store) as file:
        return compile_contract(contract, table.columns, file.schema_arrow)


def _missing(compiled: CompiledContract, table: str) -> ErrorRecord | None:
    if not compiled.missing:
        return None
    message = f"the table {table} has no column {', '.join(compiled.missing)}"
    return UserError("contract.missing_column", message, place=Place(table=table, column=compiled.missing[0])).record


def _too_many_bad_rows(contract: Contract, judge: PartsJudge, limits: Limits, table: str) -> ErrorRecord | None:
    allowed = contract.max_quarantine_share
    allowed = limits.max_quarantine_share if allowed is None else allowed
    if contract.on_bad_rows == "fail":
        allowed = 0.0
    share = judge.rows_bad / max(judge.rows_in, 1)
    if share <= allowed:
        return None
    message = (
        f"{judge.rows_bad:,} of {judge.rows_in:,} rows of {table} ({share:.2%}) break the contract, {allowed:.2%} are allowed"
    )
    return UserError("contract.too_many_bad_rows", message, place=Place(table=table)).record


def _columns_after(columns: tuple[Column, ...], compiled: CompiledContract) -> tuple[Column, ...]:
    types = {column.name: column.type for column in compiled.cast_columns}
    filled = {check.columns[0].name for check in compiled.checks if check.rule == "nullable"}
    return tuple(
        replace(column, type=types.get(column.name, column.type), nullable=column.nullable and column.name not in filled)
        for column in columns
    )

"""The stage as the flow calls it: from a raw object to staged tables, with the gate after it."""

import pyarrow.parquet as pq

from metricfoundry_dagster.domain.contracts import Contract
from metricfoundry_dagster.domain.errors import ErrorRecord, Place, UserError
from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.jobs import Attempt
from metricfoundry_dagster.domain.layout import attempt_prefix
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Gate, ProductFile, Root, Stage, StageProduct, TableProduct
from metricfoundry_dagster.pipeline.find_contract import find_contract_text
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.pipeline.staging.stage_file import StagedFile, stage_file
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.ports.progress import Progress

_STAGE = Stage.STAGED_PARQUET
_EXAMPLES = 5
_EXAMPLE_RAW_CHARS = 200


def stage_dataset(attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle) -> StageProduct:
    """Stage the dataset's raw object; the table of a file that holds only one is named like its datasource.

    The gate holds when enough rows were staged and few enough rejected, by the dataset's contract or else by the
    limits. `details` holds the recipe, whatever the verdict.

    Raises:
        UserError: the file cannot be read at all, or its contract; `job.canceled`.
        InternalError: `staging.out_of_balance`.
    """
    dataset = attempt.dataset
    contract = _contract(attempt, ports)
    (raw,) = upstream.files("source")
    with upstream.local(raw) as source:
        staged = stage_file(
            source,
            filename=dataset.filename,
            store=ports.store,
            root=Root.ARTIFACTS,
            prefix=attempt_prefix(_STAGE, dataset.dataset_id, attempt.number),
            overrides={**(ports.catalog.recipe(dataset.datasource) or {}), **dataset.recipe},
            limits=ports.limits,
            progress=lambda share: progress.report(_STAGE, share),
            table_name=dataset.datasource,
        )
    return StageProduct(
        stage=_STAGE,
        dataset_id=dataset.dataset_id,
        attempt=attempt.number,
        files=staged.files,
        tables=staged.tables,
        findings=(
            *staged.findings,
            *(_failure_finding(table.name, table.error) for table in staged.tables if table.error),
            *(_rejects_finding(file, ports.store) for file in staged.files if file.role == "rejects"),
        ),
        gate=judge_staged(staged, contract, ports.limits),
        details={"format": staged.recipe.format, "recipe": staged.recipe.to_json()},
    )


def judge_staged(staged: StagedFile, contract: Contract | None, limits: Limits) -> Gate:
    """The verdict on staged tables; the contract's bounds come before the limits'.

    Reject shares are bounded in each table, rows over all of them: a workbook may have an empty sheet. Tables that failed
    are told of in findings, and hold up no other.
    """
    min_rows = limits.min_rows if contract is None or contract.min_rows is None else contract.min_rows
    max_share = limits.max_reject_share
    if contract is not None and contract.max_reject_share is not None:
        max_share = contract.max_reject_share
    error = next(filter(None, (_too_many_rejects(table, max_share) for table in staged.tables)), None)
    error = error or _too_few_rows(staged.tables, min_rows)
    if error is not None:
        return Gate(passed=False, summary=error.record.message, error=error.record)
    rows = sum(table.rows_out for table in staged.tables)
    rejected = sum(table.rows_rejected for table in staged.tables)
    failed = sum(table.error is not None for table in staged.tables)
    summary = f"{rows + rejected:,} rows read = {rows:,} staged + {rejected:,} rejected"
    if failed:
        summary += f"; {failed} of {len(staged.tables)} tables could not be read"
    return Gate(passed=True, summary=summary)


def _contract(attempt: Attempt, ports: Ports) -> Contract | None:
    text = find_contract_text(attempt.dataset, ports)
    return None if text is None else read_contract(text)


def _too_many_rejects(table: TableProduct, max_share: float) -> UserError | None:
    if table.rows_rejected <= max_share * table.rows_in:
        return None
    share = table.rows_rejected / table.rows_in
    message = f"{table.rows_rejected:,} of {table.rows_in:,} rows were rejected, {share:.1%}; at most {max_share:.1%} may be"
    return UserError("staging.too_many_rejects", message, place=Place(table=table.name))


def _too_few_rows(tables: tuple[TableProduct, ...], min_rows: int) -> UserError | None:
    rows = sum(table.rows_out for table in tables)
    if rows >= min_rows:
        return None
    place = Place(table=tables[0].name) if len(tables) == 1 else Place()
    return UserError("staging.too_few_rows", f"{rows:,} rows were staged, at least {min_rows:,} are needed", place=place)


def _failure_finding(table: str, error: ErrorRecord) -> Finding:
    return Finding(error.code, Severity.ERROR, error.message, table=table)


def _rejects_finding(file: ProductFile, store: ObjectStore) -> Finding:
    with store.local(file.root, file.key) as path:
        rejects = next(pq.ParquetFile(path).iter_batches(_EXAMPLES)).to_pylist()
    examples = tuple({**row, "raw": row["raw"][:_EXAMPLE_RAW_CHARS]} for row in rejects)
    message = f"{file.rows:,} rows could not be read"
    return Finding("staging.rejects", Severity.WARN, message, table=file.table, count=file.rows or 0, examples=examples)

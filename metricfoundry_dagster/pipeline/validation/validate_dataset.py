"""The stage `validated_frame`: every staged table against the dataset's contract, and the verdict over all of them.

What happens to one table is `validate_table`; which contract it is, `pipeline/find_contract`.
"""

from collections.abc import Callable
from typing import Any

from metricfoundry_dagster.domain.contracts import Contract
from metricfoundry_dagster.domain.jobs import Attempt
from metricfoundry_dagster.domain.layout import attempt_prefix
from metricfoundry_dagster.domain.products import Gate, Stage, StageProduct
from metricfoundry_dagster.pipeline.find_contract import find_contract_text
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.pipeline.validation.compare_schemas import find_drift
from metricfoundry_dagster.pipeline.validation.compile_rules import find_columns
from metricfoundry_dagster.pipeline.validation.judge_parts import Destination
from metricfoundry_dagster.pipeline.validation.validate_table import ValidatedTable, pass_table, validate_table
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.progress import Progress


def validate_dataset(attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle) -> StageProduct:
    """Judge every staged table. Without a contract every row is valid and no file is read.

    The gate asks that required columns are there and that not too many rows are bad. Drift against the datasource's
    last dataset is a warning. The details hold the contract with its text, or null, and the time column that it names,
    or else the recipe.

    Raises:
        UserError: `contract.not_found` or `contract.invalid`; `job.canceled`.
        InternalError: `validation.out_of_balance`.
    """
    dataset, staged = attempt.dataset, upstream.product
    text = find_contract_text(dataset, ports)
    contract = read_contract(text) if text is not None else None
    into = Destination(
        store=ports.store,
        prefix=attempt_prefix(Stage.VALIDATED_FRAME, dataset.dataset_id, attempt.number),
        source=dataset.filename,
        max_raw_chars=ports.limits.max_raw_chars,
    )
    on_rows = _row_counter(staged, contract, progress)
    results = [
        pass_table(table, upstream.files("part", table.name))
        if contract is None or table.error is not None
        else validate_table(
            table, [file for file in staged.files if file.table == table.name], contract, into, ports.limits, on_rows=on_rows
        )
        for table in staged.tables
    ]
    before = ports.catalog.previous_tables(dataset, Stage.STAGED_PARQUET) or ()
    return StageProduct(
        stage=Stage.VALIDATED_FRAME,
        dataset_id=dataset.dataset_id,
        attempt=attempt.number,
        files=tuple(file for result in results for file in result.files),
        tables=tuple(result.table for result in results),
        findings=(*(f for result in results for f in result.findings), *find_drift(before, staged.tables)),
        gate=_gate(results, contract),
        details=_details(contract, text, staged),
    )


def _row_counter(staged: StageProduct, contract: Contract | None, progress: Progress) -> Callable[[int], None]:
    has_key = contract is not None and (bool(contract.unique) or any(rule.unique for rule in contract.columns))
    total = staged.rows_out * (2 if has_key else 1)
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        progress.report(Stage.VALIDATED_FRAME, min(1.0, done / max(total, 1)))

    return count


def _gate(results: list[ValidatedTable], contract: Contract | None) -> Gate:
    error = next((result.error for result in results if result.error is not None), None)
    if error is not None:
        return Gate(passed=False, summary=error.message, error=error)
    valid = sum(result.table.rows_out for result in results)
    if contract is None:
        return Gate(passed=True, summary=f"{valid:,} rows go on; there is no contract to hold them against")
    bad = sum(result.table.rows_rejected for result in results)
    return Gate(passed=True, summary=f"{valid:,} rows hold the contract {contract.name} v{contract.version}, {bad:,} quarantined")


def _details(contract: Contract | None, text: str | None, staged: StageProduct) -> dict[str, Any]:
    from_recipe = staged.details.get("recipe", {}).get("time_column")
    if contract is None:
        return {"contract": None, "time_column": from_recipe}
    means = [find_columns(contract, table.columns) for table in staged.tables]
    wanted = contract.time_column
    staged_names = [names[wanted] for names in means if wanted is not None and wanted in names]
    return {
        "contract": {"name": contract.name, "version": contract.version, "text": text},
        "time_column": staged_names[0] if staged_names else wanted or from_recipe,
    }

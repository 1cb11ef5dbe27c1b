"""The profiling stage of one dataset: the report of its valid tables, and the gate of the contract's thresholds."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from metricfoundry_dagster.domain.contracts import Contract
from metricfoundry_dagster.domain.jobs import Attempt
from metricfoundry_dagster.domain.layout import attempt_prefix
from metricfoundry_dagster.domain.products import Gate, Root, Stage, StageProduct, TableProduct
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.profiling.judge_report import gate_error, judge_thresholds, judge_volume
from metricfoundry_dagster.pipeline.profiling.profile_tables import profile_tables
from metricfoundry_dagster.pipeline.profiling.report import Report, ReportSubject, TableLedger
from metricfoundry_dagster.pipeline.profiling.write_report import write_report
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.progress import Progress

#: Earlier datasets of the datasource that this one's volume is held against.
_HISTORY_DATASETS = 10


def profile_dataset(attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle) -> StageProduct:
    """Profile the validated tables of a dataset and write its report.

    The gate fails with `contract.threshold_broken`; its report is written all the same. A volume unlike the
    datasource's history is a warning.

    Raises:
        WorldError: the store or the catalog does not answer.
        UserError: `job.canceled`.
    """
    validated = upstream.product
    report = _profile(attempt, ports, progress, upstream)
    contract = _contract_of(validated)
    broken = judge_thresholds(report, contract) if contract else ()
    history = ports.catalog.row_history(attempt.dataset, _HISTORY_DATASETS)
    report = replace(report, findings=(*broken, *judge_volume(validated.rows_out, history), *report.findings))
    prefix = attempt_prefix(Stage.PROFILE_REPORT, attempt.dataset.dataset_id, attempt.number)
    error = gate_error(broken)
    return StageProduct(
        stage=Stage.PROFILE_REPORT,
        dataset_id=attempt.dataset.dataset_id,
        attempt=attempt.number,
        files=write_report(report, ports.store, Root.REPORTS, prefix),
        tables=tuple(_passed_through(table) for table in validated.tables),
        findings=report.findings,
        gate=Gate(passed=error is None, summary=_summary(report, len(broken)), error=error),
        details={"report": _details(report)},
    )


def _profile(attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle) -> Report:
    dataset, validated = attempt.dataset, upstream.product
    with ExitStack() as copies:
        tables = {
            table.name: [copies.enter_context(upstream.local(part)) for part in upstream.files("part", table.name)]
            for table in validated.tables
            if table.error is None
        }
        return profile_tables(
            tables,
            subject=ReportSubject(dataset.filename, dataset.dataset_id, dataset.datasource, attempt.number, dataset.source_uri),
            created_at=ports.clock.now(),
            ledger=_ledger(read_product(dataset.dataset_id, Stage.STAGED_PARQUET, ports), validated),
            on_column=lambda share, column: progress.report(Stage.PROFILE_REPORT, share, column),
        )


def _ledger(staged: StageProduct | None, validated: StageProduct) -> Sequence[TableLedger]:
    before = {table.name: table for table in staged.tables} if staged else {}
    lines = []
    for table in validated.tables:
        source = before.get(table.name)
        lines.append(
            TableLedger(
                table.name,
                read=source.rows_in if source else None,
                rejected=source.rows_rejected if source else None,
                staged=table.rows_in,
                quarantined=table.rows_rejected,
                valid=table.rows_out,
                reported=0 if table.error else table.rows_out,
            )
        )
    return lines


def _contract_of(validated: StageProduct) -> Contract | None:
    kept = validated.details.get("contract")
    return read_contract(kept["text"]) if kept else None


def _passed_through(table: TableProduct) -> TableProduct:
    return replace(table, rows_in=table.rows_out, rows_rejected=0)


def _summary(report: Report, broken: int) -> str:
    columns = sum(len(table.columns) for table in report.tables)
    rows = sum(table.rows for table in report.tables)
    verdict = f"{broken} thresholds of the contract are broken" if broken else "no threshold is broken"
    return f"{rows:,} rows and {columns:,} columns profiled; {verdict}"


def _details(report: Report) -> dict[str, Any]:
    return {
        table.name: {
            "rows": table.rows,
            "columns": len(table.columns),
            "duplicate_rows": table.duplicate_rows,
            "missing_share": table.missing_share,
        }
        for table in report.tables
    }

"""Datasets, jobs and versions as JSON documents: the form that programs get from every command."""

from typing import Any

from metricfoundry_dagster.actions.look_up import DatasetView
from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.domain.served import Version
from metricfoundry_dagster.ports.object_store import ObjectStore


def dataset_document(dataset: Dataset, job: Job) -> dict[str, Any]:
    """One dataset with its newest job."""
    return {
        "dataset_id": dataset.dataset_id,
        "datasource": dataset.datasource,
        "sequence": dataset.sequence,
        "mode": dataset.mode.value,
        "source_uri": dataset.source_uri,
        "filename": dataset.filename,
        "size_bytes": dataset.size_bytes,
        "contract": dataset.contract,
        "recipe": dataset.recipe,
        "created_at": dataset.created_at,
        "job": job_document(job),
    }


def job_document(job: Job) -> dict[str, Any]:
    """One job; `error` is null unless it failed or was canceled."""
    return {
        "job_id": job.job_id,
        "attempt": job.attempt,
        "state": job.state.value,
        "progress_percent": job.progress_percent,
        "stage": job.stage.value if job.stage else None,
        "run_id": job.run_id,
        "error": job.error.to_json() if job.error else None,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
    }


def view_document(view: DatasetView, store: ObjectStore) -> dict[str, Any]:
    """Everything that `datasets show` says."""
    return {
        **dataset_document(view.dataset, view.job),
        "jobs": [job_document(job) for job in view.jobs],
        "stages": [_stage_document(product) for product in view.products.values()],
        "served_as": served_tables(view),
        "report": report_uri(view, store),
        "versions": [{**version_document(version), "current": version == view.current} for version in view.versions],
    }


def version_document(version: Version) -> dict[str, Any]:
    """One version of a datasource."""
    return {
        "datasource": version.datasource,
        "number": version.number,
        "rows": version.rows,
        "datasets": [member.dataset_id for member in version.members],
        "created_at": version.created_at,
    }


def served_tables(view: DatasetView) -> list[dict[str, Any]]:
    """Under which names readers see the dataset now, with its rows in each."""
    return [{"name": table.name, "rows": table.rows} for table in view.served.tables] if view.served else []


def report_uri(view: DatasetView, store: ObjectStore) -> str | None:
    """Where the report for people lies; None before the dataset was profiled."""
    reports = [file for file in view.files("report") if file.key.endswith(".html")]
    return store.uri(reports[0].root, reports[0].key) if reports else None


def row_counts(view: DatasetView) -> dict[str, int]:
    """Rows over all tables: read, rejected while staging, quarantined while validating, valid."""
    staged, validated = view.products.get(Stage.STAGED_PARQUET), view.products.get(Stage.VALIDATED_FRAME)
    return {
        "read": sum(table.rows_in for table in staged.tables) if staged else 0,
        "rejected": staged.rows_rejected if staged else 0,
        "quarantined": validated.rows_rejected if validated else 0,
        "valid": validated.rows_out if validated else 0,
    }


def _stage_document(product: StageProduct) -> dict[str, Any]:
    gate = product.gate
    return {
        "stage": product.stage.value,
        "attempt": product.attempt,
        "passed": gate.passed,
        "summary": gate.summary,
        "error": gate.error.to_json() if gate.error else None,
        "rows_out": product.rows_out,
        "rows_rejected": product.rows_rejected,
        "findings": [
            {
                "code": f.code,
                "severity": f.severity.value,
                "message": f.message,
                "table": f.table,
                "column": f.column,
                "count": f.count,
            }
            for f in product.findings
        ],
    }

"""Datasets as people read them: one whole, or many in a list."""

from collections.abc import Iterable

from metricfoundry_dagster.actions.look_up import DatasetView
from metricfoundry_dagster.cli.dataset_documents import report_uri, served_tables
from metricfoundry_dagster.cli.output import print_error, print_line, print_table
from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.object_store import ObjectStore


def show_datasets(found: Iterable[tuple[Dataset, Job]]) -> None:
    """A line for each dataset with its newest job."""
    columns = ("dataset", "file", "mode", "state", "done", "error", "registered")
    rows = [
        (
            d.dataset_id,
            d.filename,
            d.mode,
            job.state,
            f"{job.progress_percent} %",
            job.error.code if job.error else "",
            d.created_at,
        )
        for d, job in found
    ]
    print_table(columns, rows)


def show_dataset(view: DatasetView, store: ObjectStore) -> None:
    """Write it to standard output, an error of the newest job to standard error."""
    dataset, job = view.dataset, view.job
    print_line(f"{dataset.dataset_id}  {job.state}  {job.progress_percent} %")
    print_line(f"  source:     {dataset.source_uri}  ({dataset.size_bytes:,} bytes)")
    print_line(f"  datasource: {dataset.datasource}  ({dataset.mode}, sequence {dataset.sequence})")
    if dataset.contract:
        print_line(f"  contract:   {dataset.contract}")
    for table in served_tables(view):
        print_line(f"  served as:  {table['name']}  ({table['rows']:,} rows)")
    if report := report_uri(view, store):
        print_line(f"  report:     {report}")
    _show_stages(view)
    _show_findings(view)
    jobs = [(j.attempt, j.state, j.created_at, j.ended_at, j.error.code if j.error else "", j.run_id) for j in view.jobs]
    print_table(("attempt", "state", "created", "ended", "error", "run"), jobs, title="Jobs")
    versions = [
        (v.number, "yes" if v == view.current else "", f"{v.rows:,}", len(v.members), v.created_at) for v in view.versions
    ]
    if versions:
        print_table(("version", "current", "rows", "datasets", "created"), versions, title="Versions of the datasource")
    if job.error:
        print_error(job.error)


def _show_stages(view: DatasetView) -> None:
    stages = [
        (
            product.stage,
            "passed" if product.gate.passed else "failed",
            product.rows_out,
            product.rows_rejected,
            product.gate.summary,
        )
        for product in view.products.values()
    ]
    if stages:
        print_table(("stage", "gate", "rows on", "rows aside", "summary"), stages, title="Stages")


def _show_findings(view: DatasetView) -> None:
    findings = [
        (f.severity, f.code, f.table, f.column, f"{f.count:,}", f.message)
        for product in view.products.values()
        for f in product.findings
    ]
    if findings:
        print_table(("severity", "code", "table", "column", "rows", "message"), findings, title="Findings")

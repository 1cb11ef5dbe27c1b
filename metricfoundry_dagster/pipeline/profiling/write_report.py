"""Both files of a report into an object store, each whole or not at all."""

from pathlib import PurePosixPath

from metricfoundry_dagster.domain.products import ProductFile, Root
from metricfoundry_dagster.pipeline.profiling.render_report import render_report
from metricfoundry_dagster.pipeline.profiling.report import Report
from metricfoundry_dagster.ports.object_store import ObjectStore


def write_report(report: Report, store: ObjectStore, root: Root, prefix: str) -> tuple[ProductFile, ...]:
    """Write `report.json` and `report.html` below `prefix`, which ends in a slash or is empty.

    Raises:
        WorldError: `store.unreachable`.
    """
    contents = {"report.json": report.to_bytes(), "report.html": render_report(report).encode(errors="replace")}
    files = []
    for name, data in contents.items():
        key = str(PurePosixPath(prefix, name))
        with store.create(root, key) as path:
            path.write_bytes(data)
        files.append(ProductFile(root, key, "report", table=None, rows=None, size_bytes=len(data)))
    return tuple(files)

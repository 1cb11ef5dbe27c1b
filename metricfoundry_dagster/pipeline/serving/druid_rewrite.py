"""The task that writes a time chunk of a datasource again without the rows of some datasets."""

from collections.abc import Mapping
from dataclasses import dataclass

from metricfoundry_dagster.pipeline.serving.druid_spec import DATASET_ID, MAX_ROWS_PER_SEGMENT, TIME, task_id
from metricfoundry_dagster.pipeline.serving.druid_task import Dimension, DimensionType, Granularity, IngestionSpec, ParallelTask


@dataclass(frozen=True, slots=True)
class RewriteRequest:
    """Which chunk, its interval and granularity; every column of the datasource with its type; whose rows go."""

    datasource: str
    interval: str
    granularity: Granularity
    columns: Mapping[str, DimensionType]
    without: tuple[str, ...]
    announcement_id: str


def rewrite_task(request: RewriteRequest) -> ParallelTask:
    """Make the task. The same request gives the same task, id included."""
    dimensions: list[Dimension] = [{"type": type_, "name": name} for name, type_ in request.columns.items() if name != TIME]
    others: dict[str, object] = {"type": "not", "field": {"type": "in", "dimension": DATASET_ID, "values": list(request.without)}}
    spec: IngestionSpec = {
        "dataSchema": {
            "dataSource": request.datasource,
            "timestampSpec": {"column": TIME, "format": "millis"},
            "dimensionsSpec": {"dimensions": dimensions},
            "metricsSpec": [],
            "granularitySpec": {
                "type": "uniform",
                "segmentGranularity": request.granularity,
                "queryGranularity": "NONE",
                "rollup": False,
                "intervals": [request.interval],
            },
            "transformSpec": {"filter": others},
        },
        "ioConfig": {
            "type": "index_parallel",
            "inputSource": {"type": "druid", "dataSource": request.datasource, "interval": request.interval},
            "appendToExisting": False,
            "dropExisting": True,
        },
        "tuningConfig": {
            "type": "index_parallel",
            "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": MAX_ROWS_PER_SEGMENT},
            "maxNumConcurrentSubTasks": 1,
            "maxParseExceptions": 0,
        },
    }
    return {"type": "index_parallel", "id": task_id(request.datasource, spec, f"out-{request.announcement_id}"), "spec": spec}

"""The Druid ingestion task of one table: typed columns, time, chunks and mode, all decided here, each with its reason.

Nothing that a person wrote goes into a spec but names of columns: Druid would run what it is told.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.serving.choose_time_column import CONSTANT_TIME_MS, TimeChoice, choose_time_column
from metricfoundry_dagster.pipeline.serving.druid_task import (
    Dimension,
    DimensionType,
    Granularity,
    GranularitySpec,
    IngestionSpec,
    IoConfig,
    LocalSource,
    ParallelTask,
    ParquetFormat,
    S3Source,
    TimestampSpec,
    Transform,
    TuningConfig,
)
from metricfoundry_dagster.pipeline.serving.measure_times import MeasuredTable
from metricfoundry_dagster.pipeline.serving.time_chunks import GRANULARITIES, TimeRange, choose_granularity, iso_time

TIME = "__time"
DATASET_ID = "_dataset_id"
MAX_ROWS_PER_SEGMENT = 5_000_000
_MAX_TASK_ID_CHARS = 128
#: Druid's name for the path of the file that a row comes from, and the dataset's id in it: see `domain/layout`.
FILE_PATH = "__file_path"
_ID_OF_PATH = f"regexp_extract(\"{FILE_PATH}\", 'datasets/([a-z][a-z0-9_]*--[a-z2-7]{{16}})/', 1)"
#: Druid's Parquet reader takes the bits of unsigned numbers for signed ones, and so what lies above for negative.
_MENDED = {
    "uint32": "if({x} < 0, {x} + 4294967296, {x})",
    "uint64": (
        "if({x} < 0, concat(div(bitwiseAnd(bitwiseShiftRight({x}, 1), 9223372036854775807), 5), "
        "{x} - 10 * div(bitwiseAnd(bitwiseShiftRight({x}, 1), 9223372036854775807), 5)), {x})"
    ),
}
_LONGS = ("int", "uint8", "uint16", "uint32", "timestamp", "date", "time", "duration")
_DOUBLES = ("float", "double", "halffloat", "decimal")


@dataclass(frozen=True, slots=True)
class DruidRequest:
    """What is to be ingested: the files of one table, what was measured of them, and what a person or contract asked for.

    `datasource` is the served name. `attempt` makes the id of a new try a new one, since Druid takes an id once only;
    so does `announcement_id`, which is known only when the task is really to be posted. `dataset_id` is put on every
    row; with `ids_from_paths` each row gets the one in its file's path instead. `replaced` is the span of what the
    datasource held before, if anything. Time chunks are never finer than `at_least`: Druid adds no row to a chunk that
    is coarser than those the task was made for.
    """

    datasource: str
    uris: tuple[str, ...]
    table: MeasuredTable
    mode: Mode = Mode.REPLACE
    dataset_id: str | None = None
    attempt: int = 1
    time_column: str | None = None
    agreed_time_column: str | None = None
    replaced: TimeRange | None = None
    ids_from_paths: bool = False
    announcement_id: str | None = None
    at_least: Granularity = "HOUR"


@dataclass(frozen=True, slots=True)
class DruidTask:
    """The task to post, and why it is as it is."""

    task: ParallelTask
    reasons: tuple[str, ...]


def druid_spec(request: DruidRequest) -> DruidTask:
    """Make the task. The same request gives the same task, id included.

    In replace mode all that lies in the span of the new and the replaced rows goes; in append mode nothing does.

    Raises:
        UserError: `request.invalid` for a time column that cannot be one, or files that Druid cannot reach.
    """
    time = choose_time_column(request.table, asked=request.time_column, agreed=request.agreed_time_column)
    replaces = request.mode is Mode.REPLACE
    covered = time.span.joined(request.replaced if replaces else None)
    granularity, chunks_reason = _chunks(request, time, covered)
    chunks: GranularitySpec = {
        "type": "uniform",
        "segmentGranularity": granularity,
        "queryGranularity": "NONE",
        "rollup": False,
        "intervals": [covered.interval(granularity)],
    }
    spec = _spec(request, time, chunks)
    mode_reason = "what the datasource held is replaced" if replaces else "rows are added to what the datasource holds"
    reasons = (*time.reasons, f"time chunks are {granularity}: {chunks_reason}", f"mode {request.mode}: {mode_reason}")
    return DruidTask({"type": "index_parallel", "id": _task_id(request, spec), "spec": spec}, reasons)


def _chunks(request: DruidRequest, time: TimeChoice, covered: TimeRange) -> tuple[Granularity, str]:
    if time.column is None:
        return "ALL", "there is no time"
    granularity, reason = choose_granularity(covered, request.table.rows)
    if GRANULARITIES.index(granularity) < GRANULARITIES.index(request.at_least):
        return request.at_least, "the datasource has chunks as coarse as that"
    return granularity, reason


def _spec(request: DruidRequest, time: TimeChoice, chunks: GranularitySpec) -> IngestionSpec:
    columns = request.table.columns
    with_dataset_id = request.dataset_id is not None or request.ids_from_paths
    shown = shown_names(columns, time.column, with_dataset_id=with_dataset_id)
    dimensions: list[Dimension] = [
        {"type": dimension_type(column.type), "name": shown[column.name]} for column in columns if column.name in shown
    ]
    tuning: TuningConfig = {
        "type": "index_parallel",
        "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": MAX_ROWS_PER_SEGMENT},
        "maxNumConcurrentSubTasks": 1,  # with subtasks a worker of one slot waits for itself for ever
        "maxParseExceptions": 0,
    }
    spec: IngestionSpec = {
        "dataSchema": {
            "dataSource": request.datasource,
            "timestampSpec": _timestamp_spec(columns, time),
            "dimensionsSpec": {"dimensions": dimensions},
            "metricsSpec": [],
            "granularitySpec": chunks,
        },
        "ioConfig": _io_config(request, {old: new for old, new in shown.items() if old != new}),
        "tuningConfig": tuning,
    }
    mended = [column for column in columns if column.type in _MENDED and column.name in shown]
    transforms = [_transform(shown[column.name], _MENDED[column.type]) for column in mended]
    if with_dataset_id:
        dimensions.append({"type": "string", "name": DATASET_ID})
        expression = _ID_OF_PATH if request.ids_from_paths else f"'{request.dataset_id}'"
        transforms.append({"type": "expression", "name": DATASET_ID, "expression": expression})
    if transforms:
        spec["dataSchema"]["transformSpec"] = {"transforms": transforms}
    return spec


def _transform(name: str, mended: str) -> Transform:
    identifier = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return {"type": "expression", "name": name, "expression": mended.replace("{x}", identifier)}


def _io_config(request: DruidRequest, renamed: dict[str, str]) -> IoConfig:
    input_format: ParquetFormat = {"type": "parquet", "binaryAsString": False}
    if renamed:
        input_format["flattenSpec"] = {
            "useFieldDiscovery": True,
            "fields": [{"type": "path", "name": new, "expr": f"$.{old}"} for old, new in renamed.items()],
        }
    source = _input_source(request.uris)
    if request.ids_from_paths:
        source["systemFields"] = [FILE_PATH]
    return {
        "type": "index_parallel",
        "inputSource": source,
        "inputFormat": input_format,
        "appendToExisting": request.mode is Mode.APPEND,
        "dropExisting": request.mode is Mode.REPLACE,
    }


def _input_source(uris: Sequence[str]) -> S3Source | LocalSource:
    if uris and all(uri.startswith("s3://") for uri in uris):
        split = [uri.removeprefix("s3://").partition("/") for uri in uris]
        return {"type": "s3", "objects": [{"bucket": bucket, "path": key} for bucket, _, key in split]}
    if uris and all(uri.startswith("file:///") for uri in uris):
        return {"type": "local", "files": [str(Path(unquote(uri.removeprefix("file://")))) for uri in uris]}
    raise UserError("request.invalid", "Druid reads files that lie all on S3 or all on a shared disk")


def _timestamp_spec(columns: Sequence[Column], time: TimeChoice) -> TimestampSpec:
    if time.column is None:
        absent = "no_time_column"
        while any(column.name == absent for column in columns):
            absent += "_"
        return {"column": absent, "format": "auto", "missingValue": iso_time(CONSTANT_TIME_MS)}
    type_ = next(column.type for column in columns if column.name == time.column)
    return {"column": time.column, "format": "nano" if type_.startswith("timestamp[ns") else "millis"}


def shown_names(columns: Sequence[Column], time_column: str | None, *, with_dataset_id: bool) -> dict[str, str]:
    """Under which name each column is kept: its own, unless that is one of Druid's or ours. `__time` itself is no column."""
    taken = {column.name for column in columns}
    reserved = {TIME, DATASET_ID} if with_dataset_id else {TIME}
    shown: dict[str, str] = {}
    for column in columns:
        if column.name == TIME == time_column:
            continue
        name, number = column.name, 1
        while name in reserved or (name != column.name and name in taken):
            name, number = f"{column.name}_{number}", number + 1
        shown[column.name] = name
    return shown


def same_kind(one: str, other: str) -> bool:
    """Whether columns of two types can be read by one task."""
    return dimension_type(one) == dimension_type(other) and _MENDED.get(one) == _MENDED.get(other)


def dimension_type(type_: str) -> DimensionType:
    """The type that keeps most: decimals become doubles, times milliseconds, and what fits no number of Druid's text."""
    if type_.startswith(("struct", "map")):
        return "json"
    if type_.startswith(("list", "large_list", "fixed_size_list")):
        return "auto"
    if type_.startswith(_LONGS):
        return "long"
    return "double" if type_.startswith(_DOUBLES) else "string"


def _task_id(request: DruidRequest, spec: IngestionSpec) -> str:
    """`mf-<dataset or datasource>-<digest of the spec>-a<attempt>`, and the announcement; see `task_id`."""
    announced = f"-{request.announcement_id}" if request.announcement_id else ""
    return task_id(request.dataset_id or request.datasource, spec, f"a{request.attempt}{announced}")


def task_id(readable: str, spec: IngestionSpec, tail: str) -> str:
    """An id that tells two tasks with different specs apart, cut in its readable part to what Druid takes."""
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]
    end = f"-{digest}-{tail}"
    return f"mf-{readable}"[: _MAX_TASK_ID_CHARS - len(end)] + end

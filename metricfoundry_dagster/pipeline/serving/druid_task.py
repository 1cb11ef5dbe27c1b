"""The shape of a Druid `index_parallel` task, as types. What goes into it is decided in `druid_spec`."""

from typing import Literal, NotRequired, TypedDict

Granularity = Literal["HOUR", "DAY", "MONTH", "YEAR", "ALL"]
DimensionType = Literal["long", "double", "string", "json", "auto"]


class S3Object(TypedDict):
    """One object; `path` is its raw key, not percent-encoded."""

    bucket: str
    path: str


class S3Source(TypedDict):
    """Objects on S3, read with the credentials of Druid's own configuration. System fields tell of the object of a row."""

    type: Literal["s3"]
    objects: list[S3Object]
    systemFields: NotRequired[list[str]]


class LocalSource(TypedDict):
    """Files on a disk that Druid shares with us."""

    type: Literal["local"]
    files: list[str]
    systemFields: NotRequired[list[str]]


class DruidSource(TypedDict):
    """The rows that a datasource of Druid's holds in an interval: for writing them again without some."""

    type: Literal["druid"]
    dataSource: str
    interval: str


class FlattenField(TypedDict):
    """A column read under another name."""

    type: Literal["path"]
    name: str
    expr: str


class FlattenSpec(TypedDict):
    """Columns read under other names, beside all that keep theirs."""

    useFieldDiscovery: bool
    fields: list[FlattenField]


class ParquetFormat(TypedDict):
    """How the files are read."""

    type: Literal["parquet"]
    binaryAsString: bool
    flattenSpec: NotRequired[FlattenSpec]


class IoConfig(TypedDict):
    """Where rows come from, and what becomes of those that are there."""

    type: Literal["index_parallel"]
    inputSource: S3Source | LocalSource | DruidSource
    inputFormat: NotRequired[ParquetFormat]
    appendToExisting: bool
    dropExisting: bool


class TimestampSpec(TypedDict):
    """Which column becomes `__time`."""

    column: str
    format: str
    missingValue: NotRequired[str]


class Dimension(TypedDict):
    """One column and its type."""

    type: DimensionType
    name: str


class DimensionsSpec(TypedDict):
    """All columns, named: nothing is discovered."""

    dimensions: list[Dimension]


class GranularitySpec(TypedDict):
    """How rows are spread over time chunks."""

    type: Literal["uniform"]
    segmentGranularity: Granularity
    queryGranularity: Literal["NONE"]
    rollup: bool
    intervals: list[str]


class Transform(TypedDict):
    """A column that is computed."""

    type: Literal["expression"]
    name: str
    expression: str


class TransformSpec(TypedDict):
    """Columns that are computed, and which rows are taken."""

    transforms: NotRequired[list[Transform]]
    filter: NotRequired[dict[str, object]]


class DataSchema(TypedDict):
    """What the rows become."""

    dataSource: str
    timestampSpec: TimestampSpec
    dimensionsSpec: DimensionsSpec
    metricsSpec: list[object]
    granularitySpec: GranularitySpec
    transformSpec: NotRequired[TransformSpec]


class PartitionsSpec(TypedDict):
    """How a time chunk is cut into segments."""

    type: Literal["dynamic"]
    maxRowsPerSegment: int


class TuningConfig(TypedDict):
    """Bounds of the task. One unreadable row fails it, since Druid would drop such rows in silence."""

    type: Literal["index_parallel"]
    partitionsSpec: PartitionsSpec
    maxNumConcurrentSubTasks: int
    maxParseExceptions: int


class IngestionSpec(TypedDict):
    """The three parts of a spec."""

    dataSchema: DataSchema
    ioConfig: IoConfig
    tuningConfig: TuningConfig


class ParallelTask(TypedDict):
    """What is posted to the Overlord."""

    type: Literal["index_parallel"]
    id: str
    spec: IngestionSpec

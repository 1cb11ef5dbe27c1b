"""What the choice of a time column needs to know of Parquet files: columns, rows, and the span of each time column.

Spans come from the files' own statistics; a column is read only where these are missing.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.serving.time_chunks import TimeRange

#: A file, or the bytes of a small one.
ParquetPart = Path | BytesIO
_DAYS = Fraction(1, 86_400)
_ARROW_UNITS = {"s": Fraction(1), "ms": Fraction(10**3), "us": Fraction(10**6), "ns": Fraction(10**9)}
_STORED_UNITS = {"milliseconds": _ARROW_UNITS["ms"], "microseconds": _ARROW_UNITS["us"], "nanoseconds": _ARROW_UNITS["ns"]}


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A timestamp or date column: how many values are missing, and the span of the others; None without any value."""

    name: str
    nulls: int
    span: TimeRange | None


@dataclass(frozen=True, slots=True)
class MeasuredTable:
    """The parts of one table, looked at together."""

    columns: tuple[Column, ...]
    rows: int
    times: tuple[TimeColumn, ...]


def measure_parquet(paths: Sequence[ParquetPart]) -> MeasuredTable:
    """Look at the parts of one table, which have the same columns. There must be one at least."""
    schema = pq.read_schema(paths[0])
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    columns = tuple(Column(field.name, field.name, str(field.type), field.nullable) for field in schema)
    names = [field.name for field in schema if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)]
    return MeasuredTable(columns, rows, tuple(_measure_column(name, paths) for name in names))


def _measure_column(name: str, paths: Sequence[ParquetPart]) -> TimeColumn:
    spans: list[TimeRange] = []
    nulls = 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            found = _from_statistics(file, name)
            part_spans, part_nulls = found if found is not None else _from_values(file, name)
        spans += part_spans
        nulls += part_nulls
    span = TimeRange(min(s.first_ms for s in spans), max(s.last_ms for s in spans)) if spans else None
    return TimeColumn(name, nulls, span)


def _from_statistics(file: pq.ParquetFile, name: str) -> tuple[list[TimeRange], int] | None:
    """The span of each row group, and all nulls; None when a row group does not tell."""
    metadata = file.metadata
    index = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path == name)
    units_per_second = _stored_units(metadata.schema.column(index))
    spans: list[TimeRange] = []
    nulls = 0
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_null_count or units_per_second is None:
            return None
        nulls += statistics.null_count
        if statistics.null_count < metadata.row_group(group).num_rows:
            if not statistics.has_min_max:
                return None
            spans.append(_span(statistics.min_raw, statistics.max_raw, units_per_second))
    return spans, nulls


def _stored_units(column: pq.ColumnSchema) -> Fraction | None:
    """What the raw numbers of the file count: it need not be the unit that Arrow shows."""
    logical = json.loads(column.logical_type.to_json())
    if logical["Type"] == "Date":
        return _DAYS
    return _STORED_UNITS.get(logical.get("timeUnit")) if logical["Type"] == "Timestamp" else None


def _from_values(file: pq.ParquetFile, name: str) -> tuple[list[TimeRange], int]:
    spans: list[TimeRange] = []
    nulls = 0
    for batch in file.iter_batches(columns=[name]):
        values = batch.column(0)
        nulls += values.null_count
        if values.null_count < len(values):
            as_timestamp = values.cast(pa.timestamp("ms")) if pa.types.is_date(values.type) else values
            bounds = pc.min_max(as_timestamp.cast(pa.int64())).as_py()
            spans.append(_span(bounds["min"], bounds["max"], _ARROW_UNITS[as_timestamp.type.unit]))
    return spans, nulls


def _span(first: int, last: int, units_per_second: Fraction) -> TimeRange:
    """In milliseconds: the first rounded down, the last towards 1970, so that no rounding of Druid's falls outside."""
    per_ms = units_per_second / 1_000
    return TimeRange(math.floor(first / per_ms), int(last / per_ms))

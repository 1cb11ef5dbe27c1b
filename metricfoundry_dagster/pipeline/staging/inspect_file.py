"""Looks at a file as staging would, without writing anything: the recipe, the tables, and the types of the first rows."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.child_tables import first_tables
from metricfoundry_dagster.pipeline.staging.detect_recipe import detect_recipe
from metricfoundry_dagster.pipeline.staging.json_document import JsonDocument
from metricfoundry_dagster.pipeline.staging.stage_csv import CsvFile, csv_reader
from metricfoundry_dagster.pipeline.staging.stage_excel import excel_columns
from metricfoundry_dagster.pipeline.staging.stage_file import settled, table_name_of
from metricfoundry_dagster.pipeline.staging.stage_json import document_records, json_reading
from metricfoundry_dagster.pipeline.staging.stage_jsonl import JsonlFile, jsonl_reading
from metricfoundry_dagster.pipeline.staging.stage_parquet import parquet_columns
from metricfoundry_dagster.pipeline.staging.stage_sqlite import sqlite_columns

_LOOKED_AT_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class InspectedTable:
    """One table that would be staged.

    `whole_file` says that the types are those of all rows; otherwise a later row may widen them. `time_column`
    is the column that would serve as time, None when there is none.
    """

    name: str
    columns: tuple[Column, ...]
    whole_file: bool
    time_column: str | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """How a file would be read; the recipe carries its confidence and the runner-up."""

    recipe: Recipe
    tables: tuple[InspectedTable, ...]


def inspect_file(source: Path, filename: str, overrides: Mapping[str, Any], limits: Limits) -> Inspection:
    """Look at the beginning of a file, which came under the name `filename`. Raises as `stage_file` does."""
    recipe = detect_recipe(source, filename, overrides, limits)
    if recipe.format == "sqlite":
        return Inspection(recipe, _sqlite_tables(source, filename, recipe, limits))
    if recipe.format == "excel":
        return Inspection(recipe, _sheets(source, filename, recipe, limits))
    if recipe.format in ("json", "jsonl"):
        return Inspection(recipe, _objects(source, filename, recipe, limits))
    if recipe.format == "parquet":
        columns, whole_file = parquet_columns(source, recipe, filename, limits), True
    else:
        columns, whole_file = _first_columns(source, filename, recipe, limits)
    time_column = recipe.time_column or suggest_time_column(columns)
    return Inspection(settled(recipe), (InspectedTable(table_name_of(filename), columns, whole_file, time_column),))


def _sheets(path: Path, filename: str, recipe: Recipe, limits: Limits) -> tuple[InspectedTable, ...]:
    with tempfile.TemporaryDirectory(prefix="metricfoundry-inspect-") as scratch:
        tables = excel_columns(path, recipe, filename, limits, Path(scratch), name=table_name_of(filename))
    return tuple(
        InspectedTable(name, columns, whole_file=True, time_column=recipe.time_column or suggest_time_column(columns))
        for name, columns in tables
    )


def suggest_time_column(columns: tuple[Column, ...]) -> str | None:
    """The first column with a time of day, else the first with a date."""
    moments = [column.name for column in columns if column.type.startswith("timestamp")]
    days = [column.name for column in columns if column.type.startswith("date")]
    return next(iter(moments + days), None)


def _first_columns(path: Path, filename: str, recipe: Recipe, limits: Limits) -> tuple[tuple[Column, ...], bool]:
    csv = CsvFile(path, recipe, filename, limits, _LOOKED_AT_BYTES)
    reader = csv_reader(csv, recipe)
    with csv.blocks(_ignore) as blocks:
        first = next((block for block in blocks if block.record_count), None)
        if first is not None:
            reader.look(first)
        whole_file = next(blocks, None) is None
    return tuple(column.product() for column in reader.columns), whole_file


def _sqlite_tables(path: Path, filename: str, recipe: Recipe, limits: Limits) -> tuple[InspectedTable, ...]:
    with tempfile.TemporaryDirectory(prefix="metricfoundry-inspect-") as scratch:
        tables = sqlite_columns(path, recipe, filename, limits, Path(scratch), name=table_name_of(filename))
    return tuple(
        InspectedTable(name, columns, whole_file=False, time_column=recipe.time_column or suggest_time_column(columns))
        for name, columns in tables
    )


def _objects(path: Path, filename: str, recipe: Recipe, limits: Limits) -> tuple[InspectedTable, ...]:
    """The tables of JSON rows; the time column that a person chose is that of the first."""
    if recipe.format == "json":
        document = JsonDocument(path, recipe, filename, limits, _LOOKED_AT_BYTES)
        records = document_records(document, recipe)
        how, blocks = json_reading(records, recipe, filename, limits), records.blocks(_ignore)
        tables = first_tables(blocks, how, table_name_of(filename), _LOOKED_AT_BYTES)
    else:
        jsonl = JsonlFile(path, recipe, filename, limits, _LOOKED_AT_BYTES)
        jsonl.require_objects()
        how = jsonl_reading(recipe, filename, limits)
        tables = first_tables(jsonl.blocks(_ignore), how, table_name_of(filename), _LOOKED_AT_BYTES)
    wishes = [recipe.time_column] + [None] * len(tables)
    return tuple(
        InspectedTable(name, columns, whole_file, wish or suggest_time_column(columns))
        for (name, columns, whole_file), wish in zip(tables, wishes, strict=False)
    )


def _ignore(_share: float) -> None:
    """Nobody waits for so short a look."""

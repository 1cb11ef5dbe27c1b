"""Stages one file: recognises it, finds its recipe, and writes its tables and rejects into a store. Needs no catalog.

Each format has a module of its own, which gives one table or several.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from metricfoundry_dagster.domain.datasets import slug_of
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.findings import Finding
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import ProductFile, Root, TableProduct
from metricfoundry_dagster.domain.recipes import Format, Recipe
from metricfoundry_dagster.pipeline.staging.decode_text import OPEN
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written
from metricfoundry_dagster.pipeline.staging.detect_recipe import detect_recipe
from metricfoundry_dagster.pipeline.staging.stage_csv import BLOCK_BYTES, stage_csv
from metricfoundry_dagster.pipeline.staging.stage_excel import stage_excel
from metricfoundry_dagster.pipeline.staging.stage_json import stage_json
from metricfoundry_dagster.pipeline.staging.stage_jsonl import stage_jsonl
from metricfoundry_dagster.pipeline.staging.stage_parquet import stage_parquet
from metricfoundry_dagster.pipeline.staging.stage_sqlite import stage_sqlite
from metricfoundry_dagster.pipeline.staging.write_table import Destination
from metricfoundry_dagster.ports.object_store import ObjectStore

_SUFFIXES = (
    ".csv",
    ".tsv",
    ".tab",
    ".txt",
    ".psv",
    ".json",
    ".jsonl",
    ".ndjson",
    ".parquet",
    ".pq",
    ".sqlite",
    ".sqlite3",
    ".db",
    ".db3",
    ".xlsx",
    ".xlsm",
    ".xlsb",
    ".xls",
    ".ods",
)


class _Stage(Protocol):
    """Writes the tables of a file. `progress` is told the share that has been read, in 0..1."""

    def __call__(
        self,
        path: Path,
        recipe: Recipe,
        to: Destinations,
        limits: Limits,
        progress: Callable[[float], None],
        *,
        block_bytes: int,
    ) -> list[Written]:
        """Every table of the file, those that failed among them; the file's own error is raised."""


_STAGES: Mapping[Format, _Stage] = {
    "csv": stage_csv,
    "json": stage_json,
    "jsonl": stage_jsonl,
    "parquet": stage_parquet,
    "sqlite": stage_sqlite,
    "excel": stage_excel,
}


@dataclass(frozen=True, slots=True)
class StagedFile:
    """What became of a file. Every table of it balances, or has an `error` and no rows; at least one has none.

    `findings` tell what else was found, such as hidden sheets.
    """

    recipe: Recipe
    tables: tuple[TableProduct, ...]
    files: tuple[ProductFile, ...]
    findings: tuple[Finding, ...] = ()


def stage_file(  # noqa: PLR0913 - what to read, where to write and how are each their own words
    source: Path,
    *,
    filename: str,
    store: ObjectStore,
    root: Root,
    prefix: str,
    overrides: Mapping[str, Any],
    limits: Limits,
    progress: Callable[[float], None],
    table_name: str | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> StagedFile:
    """Write `<prefix><table>/part-00000.parquet …` and `<prefix>rejects/<table>.parquet` if there are rejects.

    `source` holds the bytes, `filename` is the name they came under; `table_name` defaults to the slug of its
    stem, and names the table of a file that holds only one. `overrides` are choices of the recipe made by a person.
    `progress` is told the share that is done, in 0..1 and never falling. Nothing is left in the store when it raises.
    `block_bytes` changes speed and memory only.

    Raises:
        UserError: the file is not what it seems, the overrides are impossible, or none of its tables could be staged.
        InternalError: `staging.out_of_balance`.
    """
    recipe = detect_recipe(source, filename, overrides, limits)
    base = Destination(store, root, prefix, table_name or table_name_of(filename), filename, limits.max_raw_chars)
    with tempfile.TemporaryDirectory(prefix="metricfoundry-staging-") as scratch:
        to = Destinations(base, Path(scratch))
        written = _STAGES[recipe.format](source, recipe, to, limits, _Rising(progress), block_bytes=block_bytes)
    tables = tuple(table for table, _ in written)
    _require_a_table(tables)
    progress(1.0)
    files = tuple(file for _, files in written for file in files)
    return StagedFile(settled(recipe, to.encoding_found), tables, files, tuple(to.findings))


def settled(recipe: Recipe, encoding: str | None = None) -> Recipe:
    """The recipe as it is shown: with the encoding that was found late, or else UTF-8 where all is ASCII."""
    return replace(recipe, encoding=encoding or "utf-8") if recipe.encoding == OPEN else recipe


def _require_a_table(tables: tuple[TableProduct, ...]) -> None:
    errors = [table.error for table in tables if table.error is not None]
    if errors and len(errors) == len(tables):
        first = errors[0]
        raise UserError(first.code, first.message, place=first.place, hint=first.hint)


def table_name_of(filename: str) -> str:
    """The slug of a file's stem, without the suffixes of its format and compression."""
    stem = filename[:-3] if filename.lower().endswith(".gz") and len(filename) > len(".gz") else filename
    for suffix in _SUFFIXES:
        if stem.lower().endswith(suffix) and len(stem) > len(suffix):
            stem = stem[: -len(suffix)]
            break
    return slug_of(stem)


class _Rising:
    """Tells a share onwards only when it has risen: a second pass over the file begins at 0 again."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress, self._highest = progress, 0.0

    def __call__(self, share: float) -> None:
        self._highest = max(self._highest, share)
        self._progress(self._highest)

"""Staging a file into a directory, with no catalog: what `stage` does, and what other commands begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricfoundry_dagster.cli.local_file import local_file
from metricfoundry_dagster.cli.progress_bars import progress_bar
from metricfoundry_dagster.cli.remove_leftovers import remove_leftovers
from metricfoundry_dagster.domain.products import Column, ProductFile, Role, Root, TableProduct
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.stage_file import stage_file
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_directory_store, build_limits, tidy_directory_store


@dataclass(frozen=True, slots=True)
class StagedAlone:
    """A staged file. Keys of its files are relative to `directory`, and begin with `prefix`."""

    recipe: Recipe
    tables: tuple[TableProduct, ...]
    files: tuple[ProductFile, ...]
    directory: Path
    prefix: str
    store: ObjectStore

    def keys(self, role: Role, table: str) -> list[str]:
        """Keys of one role of a table, as people read them: without the prefix."""
        return [file.key.removeprefix(self.prefix) for file in self.files if (file.role, file.table) == (role, table)]

    def parts(self) -> dict[str, list[Path]]:
        """The Parquet parts of each table that was staged."""
        whole = [table.name for table in self.tables if table.error is None]
        return {name: [self.directory / self.prefix / key for key in self.keys("part", name)] for name in whole}

    def to_json(self) -> dict[str, Any]:
        """The document of `stage --json`."""
        failed = any(table.error for table in self.tables)
        return {
            "status": "partial" if failed else "ok",
            "format": self.recipe.format,
            "recipe": self.recipe.to_json(),
            "tables": [self._table_document(table) for table in self.tables],
        }

    def _table_document(self, table: TableProduct) -> dict[str, Any]:
        document = {
            "name": table.name,
            "rows_read": table.rows_in,
            "rows_staged": table.rows_out,
            "rows_rejected": table.rows_rejected,
            "files": self.keys("part", table.name),
            "rejects": self.keys("rejects", table.name),
            "columns": columns_document(table.columns),
        }
        return {**document, "error": table.error.to_json()} if table.error else document


def stage_alone(path: str, out: str, prefix: str, settings: Settings, overrides: Mapping[str, Any]) -> StagedAlone:
    """Stage a local file below `out` and `prefix`, with a bar on standard error. It takes the place of an earlier result.

    Raises:
        UserError: the file is not there or not what it seems, or the overrides are impossible.
        WorldError: `store.unreachable` when `out` cannot be written.
    """
    source, directory = local_file(path, settings), Path(out).expanduser().absolute()
    store = build_directory_store(str(directory))
    with progress_bar(source.name) as progress:
        staged = stage_file(
            source,
            filename=source.name,
            store=store,
            root=Root.ARTIFACTS,
            prefix=prefix,
            overrides=overrides,
            limits=build_limits(settings),
            progress=progress,
        )
    remove_leftovers(store, prefix, [table.name for table in staged.tables], staged.files)
    tidy_directory_store(directory)
    return StagedAlone(staged.recipe, staged.tables, staged.files, directory, prefix, store)


def columns_document(columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    """Columns as every JSON document spells them."""
    return [{"name": c.name, "source_name": c.source_name, "type": c.type, "nullable": c.nullable} for c in columns]

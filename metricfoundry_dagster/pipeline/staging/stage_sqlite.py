"""Stages an SQLite file table by table, each under the types that all its values have.

A table is first read as its first and last rows suggest, in one scan by the fastest driver. If that does not account for
every row that SQLite counts, all values are counted by their storage classes, and it is read again by what they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written, failed_table, table_names
from metricfoundry_dagster.pipeline.staging.measure_sqlite import plans_by_ends
from metricfoundry_dagster.pipeline.staging.open_sqlite_tables import Found, SqliteTables
from metricfoundry_dagster.pipeline.staging.read_sqlite_batches import SqliteBatches
from metricfoundry_dagster.pipeline.staging.sqlite_file import SqliteFile, SqliteTable
from metricfoundry_dagster.pipeline.staging.typed_columns import named_kinds, require_known
from metricfoundry_dagster.pipeline.staging.unpack_bytes import unpacked_file
from metricfoundry_dagster.pipeline.staging.write_sqlite_table import SqliteTableStaging

_INSPECTED_ROWS = 1_000


def stage_sqlite(
    path: Path, recipe: Recipe, to: Destinations, limits: Limits, progress: Callable[[float], None], *, block_bytes: int
) -> list[Written]:
    """Write every table of the file, and its views if the recipe says so. `block_bytes` bounds what is in memory at a time.

    Raises:
        UserError: `sqlite.corrupt` when not even the list of tables can be read, `sqlite.too_many_tables`, `file.empty`
            without any, `request.invalid` for impossible types, or as `UnpackedBytes.chunks` for a compressed file.
        InternalError: `staging.out_of_balance`.
    """
    with _opened(path, recipe, to.base.source, limits, to.scratch) as tables, SqliteBatches() as batches:
        found = tables.found(views=recipe.views)
        kinds = named_kinds(recipe.types or {})
        if kinds:
            _require_columns(tables, found, set(kinds))
        written = []
        for number, each in enumerate(found):
            destination = to.only() if len(found) == 1 else to.named(each.name)
            share = _Share(progress, number, len(found))
            try:
                with _table(tables, each) as table:
                    staging = SqliteTableStaging(tables.file, batches, table, destination, limits, kinds, share, block_bytes)
                    written.append(staging.run())
            except UserError as error:
                written.append(failed_table(destination.table, error))
            share(1.0)
        return written


def sqlite_columns(
    path: Path, recipe: Recipe, source: str, limits: Limits, scratch: Path, *, name: str
) -> list[tuple[str, tuple[Column, ...]]]:
    """The tables with their columns as some of the rows have them, those left out that cannot be read; the only one is `name`.

    Raises as `stage_sqlite`, and the first error when no table can be read.
    """
    columns, errors = [], []
    with _opened(path, recipe, source, limits, scratch) as tables:
        found = tables.found(views=recipe.views)
        names = [name] if len(found) == 1 else table_names(each.name for each in found)
        for table_name, each in zip(names, found, strict=True):
            try:
                with _table(tables, each, max_rows=_INSPECTED_ROWS) as table:
                    plans = plans_by_ends(tables.file, table, limits, named_kinds(recipe.types or {}))
                    columns.append((table_name, tuple(plan.product() for plan in plans)))
            except UserError as error:
                errors.append(error)
    if errors and not columns:
        raise errors[0]
    return columns


@contextmanager
def _opened(path: Path, recipe: Recipe, source: str, limits: Limits, scratch: Path) -> Iterator[SqliteTables]:
    with unpacked_file(path, recipe.compression, filename=source, limits=limits, scratch=scratch) as plain:
        yield SqliteTables(SqliteFile(plain, source, limits), scratch)


@contextmanager
def _table(tables: SqliteTables, found: Found, max_rows: int | None = None) -> Iterator[SqliteTable]:
    table = tables.opened(found, max_rows=max_rows)
    try:
        yield table
    finally:
        tables.forget(table)


def _require_columns(tables: SqliteTables, found: list[Found], wanted: set[str]) -> None:
    """Refuse types for columns that no table has, before anything is written."""
    names: list[str] = []
    for each in found:
        try:
            with _table(tables, each, max_rows=0) as table:
                names += safe_names([column.name for column in table.columns])
        except UserError:
            continue  # told of when the table is staged
    require_known(names, wanted)


class _Share:
    """Tells the share of one table among all."""

    def __init__(self, progress: Callable[[float], None], number: int, count: int) -> None:
        self._progress, self._number, self._count = progress, number, count

    def __call__(self, share: float) -> None:
        self._progress((self._number + min(share, 1.0)) / self._count)

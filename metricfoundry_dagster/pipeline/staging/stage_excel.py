"""Stages a workbook: every sheet that holds a table is one. No formula is computed, no macro run, no link followed.

What a sheet holds is read in another process, see `ask_workbook`; how it is typed, in `read_sheet`. An error in a cell
(`#N/A`, `#DIV/0!`) is null, and its place is told in a finding.
"""

import json
import string
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metricfoundry_dagster.domain.errors import InternalError, MetricFoundryError, Place, UserError
from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column, TableProduct
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.ask_workbook import open_workbook
from metricfoundry_dagster.pipeline.staging.check_workbook import check_workbook
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written, failed_table, table_names
from metricfoundry_dagster.pipeline.staging.read_sheet import SheetLook, SheetReader, SheetRows
from metricfoundry_dagster.pipeline.staging.rejects import Reject
from metricfoundry_dagster.pipeline.staging.scan_sheet import WorkbookParts, find_parts
from metricfoundry_dagster.pipeline.staging.text_kinds import convert, type_of, unfit
from metricfoundry_dagster.pipeline.staging.type_cells import as_text_column
from metricfoundry_dagster.pipeline.staging.typed_columns import TypedColumn, fix_types, require_columns
from metricfoundry_dagster.pipeline.staging.unpack_bytes import unpacked_file
from metricfoundry_dagster.pipeline.staging.write_table import Destination, open_table

_WRITTEN_ROWS = 64 * 1024
_EXAMPLES = 5
_LETTERS = string.ascii_uppercase


def stage_excel(
    path: Path,
    recipe: Recipe,
    to: Destinations,
    limits: Limits,
    progress: Callable[[float], None],
    *,
    block_bytes: int,  # noqa: ARG001 - the reader takes a sheet as a whole
) -> list[Written]:
    """Write a table for every sheet that holds one.

    Raises:
        UserError: `excel.encrypted`, `excel.corrupt`, `excel.too_large`, `excel.reader_died`, `excel.too_slow`,
            `excel.no_table` when no sheet holds any cell, `request.invalid` for given types, or as
            `UnpackedBytes.chunks` for a compressed file.
        InternalError: `staging.out_of_balance`.
    """
    with _opened(path, recipe, to.base.source, limits, to.scratch) as sheets:
        return _Staging(sheets, recipe, to).run(progress)


def excel_columns(
    path: Path, recipe: Recipe, source: str, limits: Limits, scratch: Path, *, name: str
) -> list[tuple[str, tuple[Column, ...]]]:
    """The tables with their columns, those left out that cannot be read; the only one is `name`.

    The reader knows no other way than to read a workbook whole, so this takes about as long as staging it, within the
    same limits. Raises as `stage_excel`, and the first error when no table can be read.
    """
    tables, errors = [], []
    with _opened(path, recipe, source, limits, scratch) as sheets:
        looks = sheets.look()
        names = [name] if len(looks) == 1 else table_names(look.name for look in looks)
        for table_name, look in zip(names, looks, strict=True):
            try:
                tables.append((table_name, _Table(sheets.reader.read(look), recipe, source).products()))
            except UserError as error:
                errors.append(error)
    if not tables:
        raise errors[0] if errors else _no_table(sheets.names, source)
    return tables


@dataclass(frozen=True, slots=True)
class _Sheets:
    """The sheets of an open workbook."""

    names: list[str]
    reader: SheetReader
    parts: WorkbookParts | None

    def look(self) -> list[SheetLook]:
        """What begins on each sheet; those without any cell are left out, those that cannot be read are not."""
        looks = (self.reader.look(number, name, self.parts) for number, name in enumerate(self.names))
        return [look for look in looks if look.head or look.error]


@contextmanager
def _opened(path: Path, recipe: Recipe, source: str, limits: Limits, scratch: Path) -> Iterator[_Sheets]:
    with ExitStack() as stack:
        plain = stack.enter_context(unpacked_file(path, recipe.compression, filename=source, limits=limits, scratch=scratch))
        is_zip = check_workbook(plain, source, limits)
        parts = find_parts(plain, source) if is_zip else None
        book = stack.enter_context(open_workbook(plain, source, limits))
        names = book.ask("sheets")[0]["sheets"]
        if len(names) > limits.max_sheets:
            message = f"the workbook has {len(names)} sheets, {limits.max_sheets} are allowed"
            raise UserError("excel.too_large", message, place=Place(file=source))
        usable = parts if len(set(names)) == len(names) else None
        yield _Sheets(names, SheetReader(book, recipe, source, limits, parts.since_1904 if parts else False), usable)


class _Staging:
    """One pass over the sheets of a workbook."""

    def __init__(self, sheets: _Sheets, recipe: Recipe, to: Destinations) -> None:
        self._sheets, self._recipe, self._to = sheets, recipe, to

    def run(self, progress: Callable[[float], None]) -> list[Written]:
        """Write every table; a sheet that cannot be read holds up no other."""
        looks = self._sheets.look()
        self._note_empty(looks)
        written = []
        for number, look in enumerate(looks):
            table = _destination(look, looks, self._to)
            try:
                written.append(self._write(look, table))
            except InternalError:
                raise
            except MetricFoundryError as error:
                written.append(failed_table(table.table, error))
            progress((number + 1) / len(looks))
        return written

    def _write(self, look: SheetLook, to: Destination) -> Written:
        rows = self._sheets.reader.read(look)
        self._note(look, rows, to.table)
        table = _Table(rows, self._recipe, to.source)
        staged, rejects = table.split(look.name)
        with open_table(to, staged.schema) as writer:
            for start in range(0, staged.num_rows, _WRITTEN_ROWS):
                writer.write(staged[start : start + _WRITTEN_ROWS])
            writer.reject(rejects)
            if writer.rows_out + writer.rows_rejected != rows.rows_in:
                message = f"{rows.rows_in} rows of sheet {look.name!r} became {writer.rows_out} + {writer.rows_rejected}"
                raise InternalError("staging.out_of_balance", message)
            writer.finish()
        return TableProduct(to.table, table.products(), rows.rows_in, staged.num_rows, len(rejects)), writer.files()

    def _note(self, look: SheetLook, rows: SheetRows, table: str) -> None:
        if rows.visible != "visible":
            message = f"the sheet {look.name!r} is hidden"
            self._to.findings.append(Finding("excel.hidden_sheet", Severity.INFO, message, table=table, count=rows.rows_in))
        if rows.titles:
            message = f"{rows.titles} rows above the header of {look.name!r} are no part of the table"
            self._to.findings.append(Finding("excel.title_rows", Severity.INFO, message, table=table, count=rows.titles))
        if rows.error_cells:
            message = f"{len(rows.error_cells):,} cells of {look.name!r} hold an error such as #N/A, and are null"
            examples = tuple({"sheet": look.name, "cell": cell} for cell in rows.error_cells[:_EXAMPLES])
            count = len({cell.lstrip(_LETTERS) for cell in rows.error_cells})
            self._to.findings.append(
                Finding("excel.error_cells", Severity.WARN, message, table=table, count=count, examples=examples)
            )

    def _note_empty(self, looks: list[SheetLook]) -> None:
        names = [name for name in self._sheets.names if name not in {look.name for look in looks}]
        if not looks:
            raise _no_table(names, self._to.base.source)
        if names:
            examples = tuple({"sheet": name} for name in names[:_EXAMPLES])
            message = f"{len(names)} sheets hold no cells: they are empty, or charts"
            self._to.findings.append(Finding("excel.empty_sheets", Severity.INFO, message, examples=examples))


def _no_table(names: list[str], source: str) -> UserError:
    return UserError("excel.no_table", f"none of the {len(names)} sheets holds a cell", place=Place(file=source))


def _destination(look: SheetLook, looks: list[SheetLook], to: Destinations) -> Destination:
    return to.only() if len(looks) == 1 else to.named(look.name)


class _Table:
    """The rows of a sheet under the types that they are staged as, those that a person asked for among them."""

    def __init__(self, rows: SheetRows, recipe: Recipe, source: str) -> None:
        self._rows, self._source = rows, source
        types = recipe.types or {}
        self._columns = [TypedColumn(*names) for names in zip(safe_names(rows.names), rows.names, strict=True)]
        fix_types(self._columns, types)
        require_columns(self._columns, types)

    def products(self) -> tuple[Column, ...]:
        """The columns as others see them."""
        return tuple(
            Column(column.name, column.source_name, str(type_of(column.kind) if column.fixed else array.type), nullable=True)
            for column, array in zip(self._columns, self._rows.columns, strict=True)
        )

    def split(self, sheet: str) -> tuple[pa.Table, list[Reject]]:
        """The rows that are staged, and those with a value that is not of the type asked for."""
        unfitting = np.zeros(self._rows.rows_in, np.bool_)
        rejects: list[Reject] = []
        arrays = []
        for column, array in zip(self._columns, self._rows.columns, strict=True):
            if not column.fixed:
                arrays.append(array)
                continue
            texts = as_text_column(array).combine_chunks()
            misfits = unfit(texts, column.kind) if not column.is_text else pa.array(np.zeros(len(texts), np.bool_))
            for row in np.flatnonzero(misfits.to_numpy(zero_copy_only=False) & ~unfitting).tolist():
                rejects.append(self._reject(row, sheet, column, texts[row].as_py()))
                unfitting[row] = True
            arrays.append(convert(pc.if_else(misfits, pa.scalar(None, pa.string()), texts), column.kind))
        table = pa.table(arrays, names=[column.name for column in self._columns])
        return (table.filter(pa.array(~unfitting)) if rejects else table), rejects

    def _reject(self, row: int, sheet: str, column: TypedColumn, text: str) -> Reject:
        place = f"row {self._rows.row_numbers[row].as_py()} of sheet {sheet!r}"
        reason = f"{place}: {text!r} is no {type_of(column.kind)}, which was asked for"
        values = {name.name: array[row].as_py() for name, array in zip(self._columns, self._rows.columns, strict=True)}
        raw = json.dumps(values, ensure_ascii=False, default=str).encode()
        return Reject(None, "text.wrong_type", reason, raw, column.name)

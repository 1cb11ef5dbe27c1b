"""Reads one sheet out of a workbook: its names, its columns under types that hold every cell exactly, and its row count.

The reader gives a column of mixed cells as texts that it has rounded. So a column is taken as it comes only where it
is proved to be of one kind: by the cells that `scan_sheet` counted, or by reading the sheet as other types too. Of the
rest the cells are asked for one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.ask_workbook import Workbook
from metricfoundry_dagster.pipeline.staging.find_header import HeadCell, Header, HeadRow, Merge, find_header, join_names
from metricfoundry_dagster.pipeline.staging.scan_sheet import HEAD_ROWS, SheetScan, WorkbookParts
from metricfoundry_dagster.pipeline.staging.type_cells import typed_cells, typed_column

_UNNAMED = "__UNNAMED__"
_TEXT_KINDS = ("String",)
_NUMBER_KINDS = ("Float", "Int")


@dataclass(frozen=True, slots=True)
class SheetRows:
    """The table of a sheet. Blank rows are left out; `row_numbers` are those of the rows in the sheet, from 1.

    `rows_in` was counted apart from the columns. `error_cells` are the places of cells that hold an error, such as `B7`,
    and are null.
    """

    names: list[str | None]
    columns: list[pa.ChunkedArray]
    rows_in: int
    row_numbers: pa.Array
    visible: str
    titles: int
    error_cells: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SheetLook:
    """What begins on a sheet: its first rows that hold anything, and the pass over its XML where one was possible."""

    number: int
    name: str
    scan: SheetScan | None
    head: tuple[HeadRow, ...]
    error: UserError | None = None

    @property
    def merges(self) -> tuple[Merge, ...]:
        """The merged cells, as far as they are known."""
        return self.scan.merges if self.scan else ()


@dataclass(frozen=True, slots=True)
class SheetReader:
    """Reads sheets of one workbook; `since_1904` says how its days are counted."""

    book: Workbook
    recipe: Recipe
    source: str
    limits: Limits
    since_1904: bool

    def look(self, number: int, name: str, parts: WorkbookParts | None) -> SheetLook:
        """What begins on a sheet. Its error is told, not raised: it may be the only one."""
        try:
            scan = parts.scan(name) if parts else None
            if scan is not None and (scan.head or not scan.rows):
                return SheetLook(number, name, scan, scan.head)
            return SheetLook(number, name, None, tuple(self._head(number)))
        except UserError as error:
            return SheetLook(number, name, None, (), error)

    def read(self, look: SheetLook) -> SheetRows:
        """The table of a sheet on which there is one.

        Raises:
            UserError: as `Workbook.ask`; `excel.rows_disagree` when two counts of its rows differ, `csv.too_many_columns`.
        """
        if look.error is not None:
            raise look.error
        header = find_header(look.head, look.merges, has_header=self.recipe.has_header)
        frame = _frame(look.number, header)
        answer, table = self.book.ask("guess", **frame)
        if table is None:
            raise UserError("excel.corrupt", "the sheet cannot be read twice", place=Place(file=self.source, table=look.name))
        self._require_few_columns(table.num_columns, look.name)
        columns = self._columns(look, header, frame, table, answer)
        errors = answer["errors"]
        filled = _filled_rows(columns, table.num_rows, errors)
        touched = _filled_rows(table.columns, table.num_rows, errors + answer["blanks"])
        rows_out = int(pc.sum(filled).as_py() or 0)
        self._require_all_rows(look, header, rows_out, int(pc.sum(touched).as_py() or 0))
        names = self._names(answer["names"], header, frame, look)
        used = {column for _row, column in errors}
        used.update(number for number, column in enumerate(columns) if names[number] or column.null_count < len(column))
        kept = sorted(used)
        numbers = pc.indices_nonzero(filled)
        if rows_out < table.num_rows:
            columns = [column.take(numbers) for column in columns]
        first = header.top + header.height
        return SheetRows(
            [names[position] for position in kept],
            [columns[position] for position in kept],
            rows_out,
            pc.add(numbers.cast(pa.int64()), first + 1),
            answer["visible"],
            header.titles,
            [f"{_letters(column)}{first + row + 1}" for row, column in errors],
        )

    def _head(self, number: int) -> list[HeadRow]:
        """The first rows that hold anything."""
        answer, table = self.book.ask("head", sheet=number, rows=HEAD_ROWS)
        cells: dict[int, dict[int, HeadCell]] = {}
        if table is None:
            return []
        for column in range(table.num_columns // 2):
            texts, kinds = table.column(2 * column).to_pylist(), table.column(2 * column + 1).to_pylist()
            for row, (text, kind) in enumerate(zip(texts, kinds, strict=True)):
                if text is not None:
                    cells.setdefault(row, {})[column] = _head_cell(text, kind)
        return [HeadRow(answer["first_row"] + row, found) for row, found in sorted(cells.items())]

    def _columns(
        self, look: SheetLook, header: Header, frame: Mapping[str, Any], table: pa.Table, answer: Mapping[str, Any]
    ) -> list[pa.ChunkedArray]:
        mixed = set(answer["mixed"])
        if not mixed and look.scan is not None and _agrees(look.scan, header, table, blanks=len(answer["blanks"])):
            return [typed_column(column, since_1904=self.since_1904) for column in table.columns]
        return self._proved(frame, table, mixed)

    def _names(self, first: list[str], header: Header, frame: Mapping[str, Any], look: SheetLook) -> list[str | None]:
        if not header.height:
            return [None] * len(first)
        rows: list[list[str | None]] = [[None if name.startswith(_UNNAMED) else _plain_day(name) for name in first]]
        if header.height == 1:
            return join_names(rows, {})
        how = {**frame, "skip_rows": None, "n_rows": header.height - 1}
        _answer, table = self.book.ask("typed", **how, dtypes="string")
        if table is not None:
            texts = [[text and _plain_day(text) for text in column.to_pylist()] for column in table.columns]
            rows += [list(row) for row in zip(*texts, strict=True)]
        return join_names(rows, _spans(rows, header, look))

    def _proved(self, frame: Mapping[str, Any], table: pa.Table, mixed: set[int]) -> list[pa.ChunkedArray]:
        """The columns, those that are not of one kind cell by cell."""
        width = table.num_columns
        shown = self._typed(frame, "string", width)
        others = [self._typed(frame, type_, width) for type_ in ("float", "datetime")]
        for number, column in enumerate(table.columns):
            if _is_text(column.type):
                is_mixed = any(other.column(number).null_count < len(column) for other in others)
            else:
                truths = pc.is_in(shown.column(number), pa.array(["true", "false"]))
                is_mixed = pa.types.is_floating(column.type) and pc.any(truths).as_py()
            lost = pc.and_(shown.column(number).is_valid(), column.is_null())
            lost = pc.and_(lost, pc.not_equal(pc.fill_null(shown.column(number), ""), ""))
            if is_mixed or pc.any(lost).as_py():
                mixed.add(number)
        columns = [typed_column(column, since_1904=self.since_1904) for column in table.columns]
        wanted = sorted(mixed)
        if wanted:
            how = {**frame, "n_rows": None}
            _answer, cells = self.book.ask("cells", **how, columns=wanted)
            if cells is not None:
                for position, number in enumerate(wanted):
                    columns[number] = typed_cells(cells.column(2 * position), cells.column(2 * position + 1))
        return columns

    def _typed(self, frame: Mapping[str, Any], type_: str, columns: int) -> pa.Table:
        _answer, table = self.book.ask("typed", **frame, dtypes=type_)
        if table is None or table.num_columns != columns:
            raise UserError("excel.corrupt", "the sheet has other columns when it is read again", place=Place(file=self.source))
        return table

    def _require_all_rows(self, look: SheetLook, header: Header, filled: int, touched: int) -> None:
        """Compare the rows under the header with those in the XML, where it can be scanned.

        `touched` are the rows with a cell, `filled` those whose cells are not all empty texts.
        """
        if look.scan is None:
            return
        above = [row for row in look.scan.head if row.number < header.top + header.height]
        if look.scan.rows - (above[-1].closed if above else 0) == touched:
            return
        rows = look.scan.exact_rows() - len(above)
        if not filled <= rows <= touched:
            message = f"the sheet holds {rows} rows with values by its cells, but {filled} could be read"
            raise UserError("excel.rows_disagree", message, place=Place(file=self.source, table=look.name))

    def _require_few_columns(self, columns: int, name: str) -> None:
        if columns > self.limits.max_columns:
            message = f"the sheet has {columns} columns, {self.limits.max_columns} are allowed"
            raise UserError("csv.too_many_columns", message, place=Place(file=self.source, table=name))


def _frame(number: int, header: Header) -> dict[str, Any]:
    """How the reader is asked for the rows under a header. It counts rows of the sheet from its row `header_row`."""
    if header.height:
        return {"sheet": number, "header_row": header.top, "skip_rows": header.height - 1 or None}
    return {"sheet": number, "header_row": None, "skip_rows": header.top or None}


def _agrees(scan: SheetScan, header: Header, table: pa.Table, *, blanks: int) -> bool:
    """Whether the columns of texts and truth values hold exactly the cells of those kinds, so that no column is mixed.

    `blanks` are texts without a character in columns of other types.
    """
    above = [row for row in scan.head if row.number < header.top + header.height]
    texts, truths = (above[-1].texts, above[-1].truths) if above else (0, 0)
    texts += blanks
    for column in table.columns:
        filled = len(column) - column.null_count
        if _is_text(column.type):
            texts += filled
        elif pa.types.is_boolean(column.type):
            truths += filled
    return texts == scan.texts and truths == scan.truths


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _filled_rows(columns: list[pa.ChunkedArray], height: int, places: list[list[int]]) -> pa.Array:
    """Which rows hold anything in these columns, or at these places."""
    found = np.zeros(height, np.bool_)
    found[[row for row, _column in places]] = True
    for column in columns:
        if not column.null_count:
            return pa.repeat(pa.scalar(value=True), height)
        found |= column.is_valid().to_numpy()
    return pa.array(found)


def _spans(rows: list[list[str | None]], header: Header, look: SheetLook) -> dict[int, dict[int, int]]:
    """For the cells of a header that another cell's name covers: the column of that one."""
    merges = look.merges
    spans: dict[int, dict[int, int]] = {}
    if not merges:
        for number, row in enumerate(rows[:-1]):
            owner = None
            for column, name in enumerate(row):
                owner = column if name else owner
                if owner is not None:
                    spans.setdefault(number, {})[column] = owner
        return spans
    left = _left_of_frame(rows[0], header, look)
    for merge in merges:
        for column in range(merge.left - left, merge.right - left + 1):
            spans.setdefault(merge.top - header.top, {})[column] = merge.left - left
    return spans


def _left_of_frame(first: list[str | None], header: Header, look: SheetLook) -> int:
    row = next((row for row in look.head if row.number == header.top), None)
    named = next((column for column, name in enumerate(first) if name), 0)
    return min(row.cells) - named if row is not None and row.cells else 0


def _head_cell(text: str, kind: str | None) -> HeadCell:
    if kind in _TEXT_KINDS:
        return HeadCell("text", text)
    return HeadCell("number" if kind in _NUMBER_KINDS else "other", text)


def _plain_day(text: str) -> str:
    return text.removesuffix(" 00:00:00")


def _letters(column: int) -> str:
    letters, number = "", column + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters

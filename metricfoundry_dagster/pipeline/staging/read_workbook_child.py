"""The process that opens workbooks: `python -I <this file> <path> <memory bytes> <CPU seconds>`, asked over its pipes.

The reader of workbooks can abort its process on a small hostile file, so it runs here, under limits, and nowhere else.
A question is a line of JSON; the answer is a line of JSON, and an Arrow stream after it when that says `"table": true`.
Nothing of ours is imported: this starts once for every workbook. What the answers mean is decided by `ask_workbook`.
"""

import json
import os
import re
import resource
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

#: Cells whose exact kinds are asked for at a time: each costs an object meanwhile.
_WINDOW_CELLS = 400_000
_BATCH_ROWS = 64 * 1024
_COLUMNS_TAKEN_BACK = 32
_DETAIL = re.compile(r"^Expected \w+ but got '(?P<kind>\w+)(\((?P<value>.*)\))?'$", re.DOTALL)
_MOMENT = re.compile(r"^Expected \w+ but got 'DateTime\(ExcelDateTime \{ value: (\S+), datetime_type: (\w+)")
_COLUMN_OF_ERROR = re.compile(r"could not determine dtype for column (.*?)\n?$", re.DOTALL)
_DAY_SECONDS = 86_400
#: More columns than this decide nothing about where a table begins.
_HEAD_COLUMNS = 1_000


def main(path: str, memory_bytes: str, cpu_seconds: str) -> None:
    """Answer until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds), int(cpu_seconds) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may write among the answers
    book = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if book is None:
                book = _Book(path)
            answer, table = book.answer(question)
        except BaseException as error:  # noqa: BLE001 - a panic of the reader is no Exception
            answer, table = {"error": f"{type(error).__name__}: {error}"[:2_000]}, None
        _send(answers, answer, table)


def _send(answers: BinaryIO, answer: dict[str, Any], table: Any) -> None:
    import pyarrow as pa

    answers.write(json.dumps({**answer, "table": table is not None}).encode() + b"\n")
    if table is not None:
        with pa.ipc.new_stream(answers, table.schema) as stream:
            stream.write_table(table, max_chunksize=_BATCH_ROWS)
    answers.flush()


class _Book:
    """An open workbook. `sheet` counts from 0, rows from the sheet's first, columns from the first that is used."""

    def __init__(self, path: str) -> None:
        import fastexcel

        self._reader = fastexcel.read_excel(path)
        self._failures = (
            fastexcel.UnsupportedColumnTypeCombinationError,
            fastexcel.CalamineCellError,
        )

    def answer(self, question: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """What is asked for by `ask`: the names of the `sheets`, a sheet by `guess` or as a `type`, its `head` or its `cells`."""
        ask = question.pop("ask")
        if ask == "sheets":
            return {"sheets": self._reader.sheet_names}, None
        if ask == "guess":
            return self._guess(**question)
        if ask == "cells":
            return {}, self._cells(**question)
        if ask == "head":
            return self._head(**question)
        return {}, _table(self._load(**question).to_arrow())

    def _load(self, sheet: int, **how: Any) -> Any:
        return self._reader.load_sheet(sheet, schema_sample_rows=None, **how)

    def _guess(self, **how: Any) -> tuple[dict[str, Any], Any]:
        """Each column by the type of all its cells; `mixed` are those that have no one type.

        The `errors` of formulas and texts without a character, `blanks`, are of any type; both are null.
        """
        loaded, mixed = self._load_guessed(how)
        rows, errors = loaded.to_arrow_with_errors()
        answer: dict[str, Any] = {"visible": loaded.visible, "errors": [], "blanks": []}
        others = set(mixed)
        for error in errors.errors if errors else ():
            if "'Error(" in error.detail:
                answer["errors"].append(error.offset_position)
            elif error.detail.endswith("'String(\"\")'"):
                answer["blanks"].append(error.offset_position)
            else:
                others.add(error.offset_position[1])
        answer["names"] = [column.name for column in loaded.selected_columns]
        return {**answer, "mixed": sorted(others)}, _table(rows)

    def _load_guessed(self, how: dict[str, Any]) -> tuple[Any, dict[int, str]]:
        """The sheet, with those columns as texts for which the reader knows no type."""
        mixed: dict[int, str] = {}
        for _ in range(_COLUMNS_TAKEN_BACK):
            try:
                return self._load(**how, dtypes=mixed or None), mixed
            except self._failures as failure:
                column = self._column_of(str(failure), how)
                if column is None or column in mixed:
                    break
                mixed[column] = "string"
        loaded = self._load(**how, dtypes="string")
        return loaded, dict.fromkeys(range(len(loaded.selected_columns)), "string")

    def _column_of(self, failure: str, how: dict[str, Any]) -> int | None:
        """The number of the column that a failure names."""
        found = _COLUMN_OF_ERROR.search(failure)
        if found is None:
            return None
        names = [column.name for column in self._load(**{**how, "n_rows": 0}, dtypes="string").available_columns()]
        return names.index(found[1]) if found[1] in names else None

    def _head(self, sheet: int, rows: int) -> tuple[dict[str, Any], Any]:
        """The kinds and texts of the first rows in use, the number of the first, and how visible the sheet is."""
        loaded = self._load(sheet, header_row=None, dtypes="string")
        if not loaded.width or not loaded.height:
            return {"first_row": 0, "height": 0, "columns": 0, "visible": loaded.visible}, None
        whole = self._load(sheet, header_row=None, skip_rows=1, dtypes="string")
        first_row = max(whole.total_height - loaded.height, 0)
        answer = {"first_row": first_row, "height": loaded.height, "columns": loaded.width, "visible": loaded.visible}
        columns = list(range(min(loaded.width, _HEAD_COLUMNS)))
        return answer, self._cells(sheet, None, None, columns, rows)

    def _cells(self, sheet: int, header_row: int | None, skip_rows: int | None, columns: list[int], n_rows: int | None) -> Any:
        """Texts and kinds of cells, exactly, for columns that are mixed: `t0`, `k0`, `t1`, `k1` and so on."""
        import pyarrow as pa

        how = {"header_row": header_row, "use_columns": columns}
        texts = self._load(sheet, **how, skip_rows=skip_rows, n_rows=n_rows, dtypes="string").to_arrow()
        found: list[list[pa.Array]] = [[] for _ in range(2 * len(columns))]
        for start, height in _windows(texts.num_rows, len(columns)):
            part = {**how, "skip_rows": (skip_rows or 0) + start or None, "n_rows": height}
            for number, (shown, kinds) in enumerate(self._window(sheet, part, texts[start : start + height])):
                found[2 * number].append(pa.array(shown, pa.string()))
                found[2 * number + 1].append(pa.array(kinds, pa.string()))
        names = [f"{what}{number}" for number in range(len(columns)) for what in "tk"]
        return pa.table([pa.chunked_array(arrays, pa.string()) for arrays in found], names=names)

    def _window(self, sheet: int, part: dict[str, Any], texts: Any) -> list[tuple[list[str | None], list[str | None]]]:
        cells = _Cells(part["use_columns"], texts)
        spans, wrong = self._load(sheet, **part, dtypes="duration").to_arrow_with_errors()
        for error in wrong.errors if wrong else ():
            cells.add(error)
        if any(column.null_count < len(column) for column in spans.columns):
            _, wrong = self._load(sheet, **part, dtypes="boolean").to_arrow_with_errors()
            for error in wrong.errors if wrong else ():
                cells.add_moment(error)
            cells.add_spans(spans)
        return cells.columns


class _Cells:
    """The exact texts of some cells, and their kinds, out of what the reader says of cells of other types than asked for."""

    def __init__(self, numbers: list[int], texts: Any) -> None:
        self._at = {number: position for position, number in enumerate(numbers)}
        self.columns: list[tuple[list[str | None], list[str | None]]] = [
            (column.to_pylist(), [None] * len(column)) for column in texts.columns
        ]

    def add(self, error: Any) -> None:
        """Take a cell that is no duration."""
        row, number = error.offset_position
        texts, kinds = self.columns[self._at[number]]
        found = _DETAIL.match(error.detail)
        kind, value = (found["kind"], found["value"] or "") if found else ("Unknown", "")
        kinds[row] = kind
        if kind == "Float":
            texts[row] = _number_text(float(value))
        elif kind == "Int":
            texts[row] = value
        elif kind == "Bool":
            texts[row] = value.upper()
        elif kind in ("DateTimeIso", "DurationIso"):
            texts[row] = value.strip('"')

    def add_spans(self, spans: Any) -> None:
        """Take the cells that are durations and of which nothing else was said, as in `.ods`."""
        for (texts, kinds), column in zip(self.columns, spans.columns, strict=True):
            for row, span in enumerate(column.to_pylist()):
                if span is not None and kinds[row] is None:
                    texts[row], kinds[row] = _clock_text(span.total_seconds() / _DAY_SECONDS), "Span"

    def add_moment(self, error: Any) -> None:
        """Take a cell that is no truth value, if it is a moment or a duration."""
        found = _MOMENT.search(error.detail)
        if found is None:
            return
        row, number = error.offset_position
        texts, kinds = self.columns[self._at[number]]
        days = float(found[1])
        kinds[row] = "Span" if found[2] == "TimeDelta" else "Time" if 0 <= days < 1 else "Moment"
        if kinds[row] != "Moment":
            texts[row] = _clock_text(days)


def _table(rows: Any) -> Any:
    """The rows as a table whose columns have numbers for names: those of the sheet may repeat."""
    import pyarrow as pa

    return pa.table(rows.columns, names=[str(number) for number in range(rows.num_columns)])


def _windows(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    height = max(_WINDOW_CELLS // max(columns, 1), 1)
    for start in range(0, rows, height):
        yield start, min(height, rows - start)


def _number_text(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _clock_text(days: float) -> str:
    milliseconds = round(abs(days) * 86_400_000)
    seconds, rest = divmod(milliseconds, 1_000)
    text = f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return ("-" if days < 0 and milliseconds else "") + text + (f".{rest:03d}" if rest else "")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Workbooks: every sheet a table, every cell exactly, whatever a column mixes."""

import gzip
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.staging.inspect_file import inspect_file
from metricfoundry_dagster.pipeline.staging.stage_file import StagedFile
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import read_back, refusal, stage, stage_into_store
from metricfoundry_dagster_tests.pipeline.staging.workbook_bytes import Raw, error_cell, ods, sheet_xml, with_sheet, workbook


def stage_all(content: bytes, filename: str = "t.xlsx", limits: Limits | None = None) -> tuple[StagedFile, dict[str, pa.Table]]:
    """Stage a file of several tables."""
    staged, store = stage_into_store(content, filename, limits=limits)
    assert all(table.balances for table in staged.tables)
    return staged, {str(file.table): read_back(store, file) for file in staged.files if file.role == "part"}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


KINDS: dict[str, tuple[list[Any], str, list[Any]]] = {
    "whole": ([1, 2.0, None], "int64", [1, 2, None]),
    "number": ([1, 2.5, 0.30000000000000004], "double", [1.0, 2.5, 0.30000000000000004]),
    "large": ([2.0**53, 1, 2], "double", [2.0**53, 1.0, 2.0]),
    "text": (["a", "  b ", "<&>"], "string", ["a", "  b ", "<&>"]),
    "digits": (["007", "1", "2.50"], "string", ["007", "1", "2.50"]),
    "truth": ([True, False, None], "bool", [True, False, None]),
    "day": ([date(2024, 2, 29), date(1900, 3, 1), None], "date32[day]", [date(2024, 2, 29), date(1900, 3, 1), None]),
    "moment": (
        [moment("2024-02-29T10:30:15.250"), date(2024, 1, 1), None],
        "timestamp[us]",
        [moment("2024-02-29T10:30:15.250"), moment("2024-01-01"), None],
    ),
    "clock": ([time(10, 30), time(0, 0), time(23, 59, 59)], "string", ["10:30:00", "00:00:00", "23:59:59"]),
    "span": ([timedelta(hours=36), timedelta(minutes=1), None], "string", ["36:00:00", "00:01:00", None]),
}
MIXED: dict[str, tuple[list[Any], list[Any]]] = {
    "number_text": ([0.30000000000000004, "x", 1e22], ["0.30000000000000004", "x", "1e+22"]),
    "number_truth": ([1, True, 0.5], ["1", "TRUE", "0.5"]),
    "text_truth": (["a", False, None], ["a", "FALSE", None]),
    "day_number": ([date(2024, 2, 29), 7, moment("2024-02-29T10:30")], ["2024-02-29", "7", "2024-02-29 10:30:00"]),
    "span_text": ([timedelta(hours=36), "n/a", time(6, 0)], ["36:00:00", "n/a", "06:00:00"]),
    "day_time": ([date(2024, 2, 29), time(6, 0), moment("2024-02-29T10:30")], ["2024-02-29", "06:00:00", "2024-02-29 10:30:00"]),
    "numbers_as_text": (["1.50", 1.5, "2"], ["1.50", "1.5", "2"]),
}


@pytest.mark.parametrize("since_1904", [False, True])
def test_cells_of_one_kind_keep_it(*, since_1904: bool) -> None:
    cells = {name: values for name, (values, _, _) in KINDS.items() if not (since_1904 and name == "day")}
    staged = stage(workbook({"S": [list(cells), *zip(*cells.values(), strict=True)]}, since_1904=since_1904), "t.xlsx")
    assert staged.types == {name: KINDS[name][1] for name in cells}
    assert {name: staged.column(name) for name in cells} == {name: KINDS[name][2] for name in cells}


def test_mixed_columns_become_text_without_loss() -> None:
    cells = {name: values for name, (values, _) in MIXED.items()}
    staged = stage(workbook({"S": [list(cells), *zip(*cells.values(), strict=True)]}), "t.xlsx")
    assert set(staged.types.values()) == {"string"}
    assert {name: staged.column(name) for name in cells} == {name: MIXED[name][1] for name in cells}


def test_both_ways_of_reading_give_the_same() -> None:
    """Beside a mixed column all others are proved by reading them again instead of by counting."""
    cells = {name: values for name, (values, _, _) in KINDS.items()} | {"mixed": ["a", 1, True]}
    staged = stage(workbook({"S": [list(cells), *zip(*cells.values(), strict=True)]}, shared=True), "t.xlsx")
    assert {name: staged.column(name) for name in KINDS} == {name: KINDS[name][2] for name in KINDS}
    assert staged.column("mixed") == ["a", "1", "TRUE"]


def test_titles_blank_rows_and_formats_are_no_rows() -> None:
    styled = Raw('s="1"', "")
    rows = [["Sales 2024"], None, [None, "id", "name", None], [None, 1, "a"], [styled, styled], None, [None, 2, "b", styled]]
    staged, tables = stage_all(workbook({"S": rows}))
    assert tables["t"].to_pydict() == {"id": [1, 2], "name": ["a", "b"]}
    assert [(finding.code, finding.count) for finding in staged.findings] == [("excel.title_rows", 1)]


def test_empty_texts_are_blank() -> None:
    """A formula that gives no text is how many sheets spell a blank: the column stays what it is."""
    blank = Raw('t="str"', '<f>IF(A9,"","")</f><v></v>')
    rows = [
        ["n", "t"],
        [1, "a"],
        [blank, Raw('t="inlineStr"', "<is><t></t></is>")],
        [2, blank],
        [blank, blank],
        [blank, Raw("", "<v></v>")],
    ]
    staged = stage(workbook({"S": rows}), "t.xlsx")
    assert (staged.types, staged.product.rows_in) == ({"n": "int64", "t": "string"}, 2)
    assert (staged.column("n"), staged.column("t")) == ([1, 2], ["a", None])


def test_merged_headers_are_joined() -> None:
    rows = [
        ["Report"],
        ["Region", "2023", None, "2024", None],
        [None, "Q1", "Q2", "Q1", "Q2"],
        ["North", 1, 2, 3, 4],
        ["South", 5, 6, 7, 8],
    ]
    staged = stage(workbook({"S": rows}, merges=["A1:E1", "A2:A3", "B2:C2", "D2:E2"]), "t.xlsx")
    names = ["Region", "2023 Q1", "2023 Q2", "2024 Q1", "2024 Q2"]
    assert [column.source_name for column in staged.product.columns] == names
    assert [column[:1] for column in map(staged.column, staged.types)] == [["North"], [1], [2], [3], [4]]


def test_every_sheet_is_a_table_and_hidden_ones_are_told() -> None:
    sheets = {"Daily Sales": [["a"], [1]], "Nothing": [], "Old": [["b"], ["x"]], "rejects": [["c"], [True]]}
    staged, tables = stage_all(workbook(sheets, states={"Old": "hidden", "rejects": "veryHidden"}))
    assert {name: table.to_pydict() for name, table in tables.items()} == {
        "daily_sales": {"a": [1]},
        "old": {"b": ["x"]},
        "rejects_2": {"c": [True]},
    }
    told = [(finding.code, finding.table) for finding in staged.findings]
    assert told == [("excel.empty_sheets", None), ("excel.hidden_sheet", "old"), ("excel.hidden_sheet", "rejects_2")]


def test_errors_in_cells_are_null_and_told_with_their_places() -> None:
    rows = [
        ["a", "b", "c"],
        [1, "x", error_cell("#N/A")],
        [error_cell("#DIV/0!"), "y", error_cell("#REF!")],
        [3, error_cell("#NAME?"), None],
    ]
    staged, tables = stage_all(workbook({"S": rows}))
    assert tables["t"].to_pydict() == {"a": [1, None, 3], "b": ["x", "y", None], "c": [None, None, None]}
    (finding,) = staged.findings
    assert (finding.code, finding.count) == ("excel.error_cells", 3)
    assert sorted(str(example["cell"]) for example in finding.examples) == ["A3", "B4", "C2", "C3"]


def test_types_that_a_person_asks_for_reject_what_does_not_fit() -> None:
    rows = [["id", "n"], ["007", "1"], ["008", "x"], ["009", 3]]
    staged = stage(workbook({"S": rows}), "t.xlsx", types={"n": "int64", "id": "string"})
    assert (staged.column("n"), staged.column("id")) == ([1, 3], ["007", "009"])
    (reject,) = staged.rejects
    assert (reject["line"], reject["code"], reject["column"]) == (None, "text.wrong_type", "n")
    assert reject["reason"].startswith("row 3 of sheet 'S': 'x'")
    assert reject["raw"] == '{"id": "008", "n": "x"}'


def test_a_sheet_without_a_header_has_numbered_columns() -> None:
    staged = stage(workbook({"S": [[1, "a"], [2, "b"]]}), "t.xlsx")
    assert (staged.column("column_1"), staged.column("column_2")) == ([1, 2], ["a", "b"])
    assert stage(workbook({"S": [["x", "y"], ["z", "w"]]}), "t.xlsx", has_header=False).column("column_1") == ["x", "z"]


def test_other_ways_of_writing_the_xml_are_read_too() -> None:
    """Nothing can be counted in a sheet whose elements have a prefix, so the reader alone proves its columns."""
    rows = [["a", "b"], [1, "x"], [2.5, True]]
    plain = sheet_xml(rows).encode()
    prefixed = plain.replace(b"<", b"<x:").replace(b"<x:/", b"</x:").replace(b"xmlns=", b"xmlns:x=")
    staged = stage(with_sheet(workbook({"S": rows}), prefixed), "t.xlsx")
    assert (staged.column("a"), staged.column("b")) == ([1.0, 2.5], ["x", "TRUE"])


def test_open_document_sheets_are_read() -> None:
    def cell(type_: str, value: str, text: str) -> str:
        return f'<table:table-cell office:value-type="{type_}" {value}><text:p>{text}</text:p></table:table-cell>'

    def row(*cells: str) -> str:
        return "<table:table-row>" + "".join(cells) + "</table:table-row>"

    rows = [row(*(cell("string", "", name) for name in ("day", "n", "t")))]
    for number in (1, 2):
        day = f'office:date-value="2024-01-0{number}"'
        rows.append(row(cell("date", day, ""), cell("float", f'office:value="{number}"', ""), cell("string", "", "x")))
    staged = stage(ods("".join(rows)), "t.ods")
    assert staged.types == {"day": "date32[day]", "n": "int64", "t": "string"}
    assert (staged.column("day"), staged.column("n")) == ([date(2024, 1, 1), date(2024, 1, 2)], [1, 2])


def test_open_document_durations_beside_days_are_not_lost() -> None:
    cells = (
        'date" office:date-value="2024-01-01"',
        'time" office:time-value="PT10H10M10S"',
        'date" office:date-value="2024-01-02T10:00:00"',
    )
    rows = "".join(
        f'<table:table-row><table:table-cell office:value-type="{cell}/>'
        f'<table:table-cell office:value-type="float" office:value="{number}"/></table:table-row>'
        for number, cell in enumerate(cells)
    )
    staged = stage(ods(rows), "t.ods")
    assert staged.column("column_1") == ["2024-01-01", "10:10:10", "2024-01-02T10:00:00"]
    assert (staged.types["column_2"], staged.column("column_2")) == ("int64", [0, 1, 2])


def test_a_compressed_workbook_is_unpacked() -> None:
    assert stage(gzip.compress(workbook({"S": [["a"], [1]]})), "t.xlsx.gz").column("a") == [1]


def test_looking_shows_the_tables_that_there_will_be(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(workbook({"One": [["a", "at"], [1, date(2024, 1, 1)]], "None": [], "Two": [["b"], ["x"]]}))
    inspection = inspect_file(raw, "t.xlsx", {}, Limits())
    assert inspection.recipe.format == "excel"
    assert [(table.name, table.time_column, table.whole_file) for table in inspection.tables] == [
        ("one", "at", True),
        ("two", None, True),
    ]


def test_a_workbook_without_a_cell_is_refused() -> None:
    assert refusal(workbook({"S": [], "T": []}), "t.xlsx").code == "excel.no_table"


def test_a_bad_sheet_holds_up_no_other() -> None:
    wide = [[f"c{number}" for number in range(30)], list(range(30))]
    staged, tables = stage_all(workbook({"Good": [["a"], [1]], "Wide": wide}), limits=Limits(max_columns=20))
    assert tables["good"].to_pydict() == {"a": [1]}
    assert [table.error and table.error.code for table in staged.tables] == [None, "csv.too_many_columns"]


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "ints": st.integers(-(2**53) + 1, 2**53 - 1),
    "texts": st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="_\ufffe\uffff"), min_size=1
    ),
    "bools": st.booleans(),
    "days": st.dates(date(1900, 3, 1), date(2200, 1, 1)),
    "moments": st.datetimes(moment("1900-03-01"), moment("2200-01-01")).map(lambda at: at.replace(microsecond=0)),
}


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), shared=st.booleans())
def test_a_table_written_as_a_workbook_comes_back_equal(data: st.DataObject, *, shared: bool) -> None:
    height = data.draw(st.integers(1, 5))
    columns: dict[str, list[Any]] = {
        name: data.draw(st.lists(values | st.none(), min_size=height, max_size=height)) for name, values in CELLS.items()
    }
    columns["id"] = list(range(height))
    staged = stage(workbook({"S": [list(columns), *zip(*columns.values(), strict=True)]}, shared=shared), "t.xlsx")
    for name, values in columns.items():
        all_days = name == "moments" and staged.types[name] == "date32[day]"
        assert staged.column(name) == [value.date() if all_days and value is not None else value for value in values], name


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_gives_tables_or_a_users_error(at: int, byte: int, *, cut: bool) -> None:
    good = workbook({"S": [["a", "b"], [1, "x"], [2, "y"]]}, shared=True)
    at %= len(good)
    bad = good[:at] if cut else good[:at] + bytes([byte]) + good[at + 1 :]
    with suppress(UserError):
        stage_all(bad)

"""Where the table of a sheet begins, by the kinds of its first cells."""

from typing import Any

from metricfoundry_dagster.pipeline.staging.find_header import HeadCell, Header, HeadRow, Merge, find_header, join_names


def head(*rows: list[Any] | None) -> list[HeadRow]:
    """Rows as the scan gives them; a row that is None is blank."""
    return [
        HeadRow(number, {column: _cell(value) for column, value in enumerate(row) if value is not None})
        for number, row in enumerate(rows)
        if row is not None
    ]


def _cell(value: Any) -> HeadCell:
    if isinstance(value, bool):
        return HeadCell("other", None)
    return HeadCell("text", value) if isinstance(value, str) else HeadCell("number", str(value))


def found(*rows: list[Any] | None, merges: tuple[Merge, ...] = (), has_header: bool = True) -> tuple[int, int, int]:
    header = find_header(head(*rows), merges, has_header=has_header)
    assert isinstance(header, Header)
    return header.top, header.height, header.titles


def test_the_first_full_row_of_texts_is_the_header() -> None:
    assert found(["a", "b"], [1, 2]) == (0, 1, 0)
    assert found(["a"], [1]) == (0, 1, 0)
    assert found(["a", "b"]) == (0, 1, 0)


def test_rows_with_few_cells_are_titles() -> None:
    assert found(["Sales"], None, ["made by", None, None, "me"], ["a", "b", "c", "d", "e"], [1, 2, 3, 4, 5]) == (3, 1, 2)


def test_years_and_days_may_stand_in_a_header_but_no_other_numbers() -> None:
    assert found(["city", 2023, 2024], ["x", 1, 2]) == (0, 1, 0)
    assert found(["city", 45000, 45031], ["x", 1, 2]) == (0, 1, 0)
    assert found(["Ann", 5, 2.5], ["Bob", 6, 3.5]) == (0, 0, 0)
    assert found(["Ann", True], ["Bob", False]) == (0, 0, 0)
    assert found([2023, 2024], [1, 2]) == (0, 0, 0)


def test_nobody_is_forced_to_have_a_header() -> None:
    assert found(["Title"], ["a", "b", "c"], ["d", "e", "f"], has_header=False) == (1, 0, 1)


def test_merged_cells_make_a_header_of_several_rows() -> None:
    rows = (["Report"], ["r", "2023", None, "2024", None], [None, "q", "p", "q", "p"], ["x", 1, 2, 3, 4])
    merges = (Merge(0, 0, 0, 4), Merge(1, 0, 2, 0), Merge(1, 1, 1, 2), Merge(1, 3, 1, 4))
    assert found(*rows, merges=merges) == (1, 2, 1)


def test_groups_above_a_header_belong_to_it() -> None:
    assert found(["T"], None, [None, "2023", None, "2024", None], ["r", "q", "p", "q", "p"], ["x", 1, 2, 3, 4]) == (2, 2, 1)


def test_a_header_with_nothing_under_it_keeps_one_row() -> None:
    assert found(["a", "b"], ["c", "d"], merges=(Merge(0, 0, 1, 0),)) == (0, 1, 0)


def test_names_of_several_rows_are_joined_once_each() -> None:
    rows = [["r", "2023", None, None], [None, "q1", " q2 ", "r"]]
    assert join_names(rows, {0: {2: 1}}) == ["r", "2023 q1", "2023 q2", "r"]
    assert join_names([["a", None]], {}) == ["a", None]

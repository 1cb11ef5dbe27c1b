"""Text of any encoding and dialect, told nothing: the same table, the right lines, and every row accounted for."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import stage

ROWS = [["id", "name", "amount"], *([str(number), f"Bär {number}, groß", f"{number}.5"] for number in range(1, 30))]


def written(rows: list[list[str]], **dialect: Any) -> str:
    """Rows as the standard library writes them."""
    text = io.StringIO()
    csv.writer(text, **{"lineterminator": "\n", **dialect}).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"])
@pytest.mark.parametrize("block_bytes", [7, 8 * 1024**2])
def test_a_table_in_any_encoding_is_the_same(encoding: str, block_bytes: int) -> None:
    staged = stage(written(ROWS).encode(encoding), block_bytes=block_bytes)
    assert staged.table.column_names == ["id", "name", "amount"]
    assert staged.column("name") == [row[1] for row in ROWS[1:]]
    assert staged.types["amount"] == "double"


@pytest.mark.parametrize(
    "dialect",
    [
        {"delimiter": ";"},
        {"delimiter": "\t"},
        {"delimiter": "|"},
        {"quotechar": "'"},
        {"quoting": csv.QUOTE_ALL, "quotechar": "'"},
        {"quoting": csv.QUOTE_ALL},
        {"lineterminator": "\r\n"},
        {"lineterminator": "\r"},
        {"escapechar": "\\", "doublequote": False},
    ],
)
def test_a_table_in_any_dialect_is_the_same(dialect: dict[str, Any]) -> None:
    rows = [["id", "text"], *([str(number), f'say "{number}", it\'s so; or | not'] for number in range(1, 20))]
    quote = dialect.get("quotechar", '"')
    rows = [[cell.replace("'", "") if quote == "'" else cell for cell in row] for row in rows]
    staged = stage(written(rows, **dialect))
    assert staged.table.column_names == ["id", "text"]
    assert staged.column("text") == [row[1] for row in rows[1:]]
    assert staged.column("id") == list(range(1, 20))


def test_blanks_behind_delimiters_do_not_count_and_quotes_behind_them_do() -> None:
    staged = stage('id, name, city\n1, "a, b", Rome\n2, "c, d", Bonn\n3, ragged\n')
    assert staged.table.column_names == ["id", "name", "city"]
    assert staged.column("name") == ["a, b", "c, d"]
    assert staged.column("city") == ["Rome", "Bonn"]
    assert staged.reject_codes() == [(4, "csv.ragged_row")]
    assert staged.rejects[0]["raw"] == "3, ragged"


def test_lines_before_the_table_are_left_out_and_the_others_keep_their_numbers() -> None:
    staged = stage("Sales report\nof 2024\n\nid,city,amount\n1,Rome,2\n2,Bonn\n3,Lyon,4\n")
    assert staged.recipe.preamble_lines == 3
    assert staged.column("city") == ["Rome", "Lyon"]
    assert staged.reject_codes() == [(6, "csv.ragged_row")]


def test_a_header_of_two_rows_names_groups_and_columns() -> None:
    staged = stage("place,,sales,\ncity,zip,year,amount\nRome,1,2019,2\nBonn,2,2020,3\n")
    assert staged.table.column_names == ["place_city", "place_zip", "sales_year", "sales_amount"]
    assert staged.column("sales_amount") == [2, 3]


def test_every_column_is_text_on_request() -> None:
    staged = stage("a,b\n1,2024-01-01\n007,NA\n", typed=False)
    assert staged.types == {"a": "string", "b": "string"}
    assert staged.column("a") == ["1", "007"]
    assert staged.column("b") == ["2024-01-01", "NA"]


def test_an_encoding_that_shows_late_is_told_and_used() -> None:
    content = b"a,b\n" + b"1,plain text\n" * 40_000 + "2,größe\n".encode("cp1252")
    staged = stage(content)
    assert staged.column("b")[-1] == "größe"
    assert staged.recipe.encoding == "cp1252"
    assert stage(content[:-8]).recipe.encoding == "utf-8"


def test_an_encoding_that_was_asked_for_is_used() -> None:
    assert stage("имя,n\nИван,1\n".encode("cp1251"), encoding="cp1251").column("имя") == ["Иван"]
    assert stage("имя,n\nИван,1\n".encode("utf-16"), encoding="utf-16").column("n") == [1]


@given(
    st.lists(st.tuples(st.integers(0, 99), st.text(st.sampled_from("ab ,;'\"\n\\é"), max_size=6)), min_size=3, max_size=12),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_what_was_written_with_all_quoted_comes_back(rows: list[tuple[int, str]], delimiter: str, encoding: str) -> None:
    table = [["number", "text"], *([str(number), f"x{text}"] for number, text in rows)]
    content = written(table, delimiter=delimiter, quoting=csv.QUOTE_ALL).encode(encoding)
    staged = stage(content, delimiter=delimiter, quote='"', escape=None, skip_spaces=False, has_header=True, preamble_lines=0)
    assert staged.column("text") == [row[1] for row in table[1:]]
    assert staged.product.rows_rejected == 0

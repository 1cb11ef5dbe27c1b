"""What a command says is whole, strict JSON or harmless text."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.cli.output import error_document, json_value, print_error, print_json, print_table, visible
from metricfoundry_dagster.domain.errors import Place, UserError


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_values_stay_as_they_are(value: object) -> None:
    assert json_value(value) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.10"), "0.10"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(minutes=1), 60.0),
        (b"\x00\xff", "00ff"),
        ({1: (2, {3})}, {"1": [2, [3]]}),
    ],
)
def test_other_values_are_put_into_jsons_words(value: object, shown: object) -> None:
    assert json_value(value) == shown


def test_a_document_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "two\nlines ü", "b": [float("nan")]})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": "two\nlines ü", "b": [None]}


def test_a_name_that_is_no_text_is_still_valid_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name on disk may hold any bytes; Python reads them as lone surrogates."""
    print_json({"path": "a\udcff.csv"})
    assert json.loads(capsys.readouterr().out) == {"path": "a\udcff.csv"}


@given(st.text())
def test_nothing_shown_can_steer_a_terminal(text: str) -> None:
    assert visible(text).isprintable()


def test_text_that_is_printable_is_shown_as_it_is() -> None:
    assert visible("Größe 表 [bold]") == "Größe 表 [bold]"


def test_an_error_says_what_where_and_what_next(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(UserError("csv.undecodable", "bad \x1b[31m byte", place=Place(file="a.csv", line=3), hint="Do this.").record)
    assert capsys.readouterr() == (
        "",
        "Error: bad \\x1b[31m byte\n  code:  csv.undecodable\n  place: file a.csv, line 3\n  hint:  Do this.\n",
    )


def test_the_error_document_holds_what_is_known() -> None:
    record = UserError("file.empty", "no bytes", place=Place(file="a.csv"), hint="Send some.").record
    error = {"code": "file.empty", "message": "no bytes", "place": {"file": "a.csv"}, "hint": "Send some."}
    assert error_document(record) == {"status": "error", "error": error}


def test_a_table_shows_whole_cells_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    print_table(("a", "b"), [(long, "[red]\x1b[0m"), (None, 12_345)])
    out = capsys.readouterr().out
    assert long in out
    assert "[red]\\x1b[0m" in out
    assert "12345" in out
    assert "None" not in out

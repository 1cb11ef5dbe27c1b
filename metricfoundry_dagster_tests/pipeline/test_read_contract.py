"""A contract survives being written and read, and every problem of a broken one is named with its line."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricfoundry_dagster.domain.contracts import ColumnRule, Contract, Scalar
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.pipeline.read_contract import contract_to_yaml, read_contract

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_SHARE = st.none() | st.floats(0, 1)
_STAMPS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.sampled_from([None, UTC]))  # noqa: DTZ001  # a bound may be without a zone
_VALUES: dict[str, st.SearchStrategy[Scalar]] = {
    "int64": st.integers(),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "decimal128(10, 2)": st.integers(),
    "string": _TEXT,
    "date32[day]": st.dates(),
    "timestamp[us, tz=UTC]": _STAMPS,
}


@st.composite
def _rules(draw: st.DrawFn, name: str) -> ColumnRule:
    type_name = draw(st.sampled_from(sorted(_VALUES)))
    values = _VALUES[type_name]
    return ColumnRule(
        name=name,
        type=type_name,
        nullable=draw(st.booleans()),
        required=draw(st.booleans()),
        unique=draw(st.booleans()),
        minimum=draw(st.none() | values),
        below=None,
        allowed=draw(st.none() | st.lists(values, min_size=1, max_size=4).map(tuple)),
        pattern=draw(st.sampled_from([None, r"[A-Z]{2}\d+", "a|b"])) if type_name == "string" else None,
        max_null_share=draw(_SHARE),
    )


@st.composite
def _contracts(draw: st.DrawFn) -> Contract:
    names = draw(st.lists(_TEXT, max_size=4, unique=True))
    return Contract(
        name=draw(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)),
        version=draw(st.integers(1, 1000)),
        columns=tuple(draw(_rules(name)) for name in names),
        unique=draw(st.lists(st.lists(_TEXT, min_size=1, max_size=3).map(tuple), max_size=2).map(tuple)),
        on_bad_rows=draw(st.sampled_from(["quarantine", "fail"])),
        max_reject_share=draw(_SHARE),
        max_quarantine_share=draw(_SHARE),
        max_duplicate_share=draw(_SHARE),
        min_rows=draw(st.none() | st.integers(0, 10**9)),
        time_column=draw(st.none() | _TEXT),
        description=draw(st.just("") | _TEXT),
    )


@given(_contracts())
@settings(max_examples=200, deadline=None)
def test_a_contract_written_as_yaml_reads_back_equal(contract: Contract) -> None:
    assert read_contract(contract_to_yaml(contract)) == contract


def test_every_problem_is_named_at_once_with_line_and_path() -> None:
    text = """\
name: Sales!
columns:
  - name: a
    type: int65
  - name: b
    type: int64
    minimum: 3
    maximum: 2
  - name: b
    type: text
    allowed: [NO, x]
  - {name: c, pattern: "(?=x)"}
  - {nam: d}
  - {name: e, type: "timestamp[us, tz=Mars/Olympus]"}
  - {name: f, pattern: x, minimum: 1}
  - {name: g, type: bool, above: true}
max_null_share: 1
min_rows: -1
max_reject_share: 1.5
on_bad_rows: ignore
unique: [a]
"""
    with pytest.raises(UserError) as caught:
        read_contract(text)
    assert caught.value.code == "contract.invalid"
    assert caught.value.record.place.line == 1
    assert caught.value.record.place.json_path == "name"
    for part in (
        "line 1, name: must be lower-case letters",
        "line 4, columns[0].type: 'int65' is no type",
        "line 7, columns[1].minimum: 3 is more than the maximum 2",
        "line 9, columns[2].name: 'b' has a rule already",
        "line 11, columns[2].allowed[0]: False is bool, but the column holds text",
        "line 12, columns[3].pattern: is no regular expression",
        "line 13, columns[4].nam: there is no such entry",
        "line 13, columns[4]: the column has no name",
        "line 14, columns[5].type: 'timestamp[us, tz=Mars/Olympus]' is no type",
        "line 15, columns[6].minimum: 1 is number, but the column holds text",
        "line 16, columns[7].above: a column of kind bool has no bounds",
        "line 17, max_null_share: there is no such entry",
        "line 18, min_rows: must be a whole number of at least 0, not -1",
        "line 19, max_reject_share: must be a share from 0 to 1",
        "line 20, on_bad_rows: must be quarantine or fail",
        "line 21, unique[0]: must be a list of at least 1",
    ):
        assert part in caught.value.record.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping"),
        ("- a", "must be a mapping"),
        ("columns: []", "line 1, name: is missing"),
        ("name: [", "not valid YAML"),
        ("name: a\nname: b", "name is given twice"),
        ("name: &a x\ndescription: *a", "anchors and aliases are not supported"),
        ("[" * 5000, "nested too deeply"),
        ("name: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("name: 2020-13-45", "not valid YAML"),
        ("{[1]: 2}", "not valid YAML"),
        ("name: a\x00b", "not valid YAML"),
        ("name: a\ncolumns: [{name: x, minimum: .nan}]", "must be a finite number"),
        ("# " + "x" * 1024**2, "are allowed"),
    ],
)
def test_text_that_is_no_contract_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"contract\.invalid") as caught:
        read_contract(text)
    assert message in caught.value.record.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [("integer", "int64"), ("float64", "double"), ("text", "string"), ("date", "date32[day]"), ("timestamp", "timestamp[us]")],
)
def test_common_names_of_types_mean_arrow_types(written: str, meant: str) -> None:
    contract = read_contract(f"name: a\ncolumns: [{{name: x, type: {written}}}]")
    assert contract.columns == (ColumnRule("x", type=meant),)


def test_dates_bound_time_stamps_and_null_asks_nothing() -> None:
    text = "name: a\ncolumns: [{name: x, type: timestamp, minimum: 2020-01-01, below: 2021-01-01T00:00:00Z, pattern: null}]"
    (rule,) = read_contract(text).columns
    assert rule.minimum == date(2020, 1, 1)
    assert rule.below == datetime(2021, 1, 1, tzinfo=UTC)
    assert rule.pattern is None

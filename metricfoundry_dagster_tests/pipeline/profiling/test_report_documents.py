"""report.json is strict and stable; report.html is one safe, whole page."""

import json
import math
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.pipeline.profiling.profile_tables import profile_tables
from metricfoundry_dagster.pipeline.profiling.render_report import readable_share, readable_value, render_report
from metricfoundry_dagster.pipeline.profiling.report import Report, ReportSubject, TableLedger
from metricfoundry_dagster.pipeline.profiling.write_report import write_report
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.pipeline.profiling.written_tables import AT, report_of, write_parts

GOLDEN = Path(__file__).parent / "golden_report.json"
HOSTILE = [
    "<script>window.PWN=1</script>",
    '"><img src=x onerror="window.PWN=1">',
    "' onmouseover='window.PWN=1",
    "</title></style></svg><svg onload=window.PWN=1>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:window.PWN=1",
    "&lt;b&gt;",
]
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Collects what a browser would act on, and checks that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.fixture
def small_report(tmp_path: Path) -> Report:
    """A table with one column of each kind, a duplicate row and an outlier."""
    table = pa.table(
        {
            "amount": pa.array([1.5, 2.5, None, 2.5, 2.5, math.nan, math.inf, 90.0]),
            "city": pa.array(["Ulm", " ", None, "Bonn", "Bonn", "Ulm", "Ulm", "Ulm"]),
            "at": pa.array([datetime(2026, 1, day) for day in (1, 2, 3, 4, 4, 6, 7, 8)], pa.timestamp("us", "UTC")),  # noqa: DTZ001 -- the type has the zone
            "paid": pa.array([True, False, None, True, True, True, True, True]),
            "empty": pa.nulls(8),
        }
    )
    report = report_of(write_parts(tmp_path, table, parts=2))
    return replace(report, tables=tuple(replace(table, size_bytes=1234) for table in report.tables))


@pytest.fixture
def hostile_page(tmp_path: Path) -> Page:
    """Every name and value that people can choose is an attack."""
    rows = len(HOSTILE)
    columns: dict[str, Any] = dict.fromkeys(HOSTILE, pa.array(HOSTILE * 2))
    columns[HOSTILE[0] + "n"] = pa.array([float(number % 3) for number in range(2 * rows)])
    paths = write_parts(tmp_path, pa.table(columns))
    subject = ReportSubject(HOSTILE[0] + ".csv", HOSTILE[1], HOSTILE[3], 1, HOSTILE[5])
    ledger = [TableLedger(name, 9, 1, 8, 1, 7, 7) for name in HOSTILE]
    report = profile_tables(dict.fromkeys(HOSTILE, paths), subject=subject, created_at=AT, ledger=ledger)
    finding = Finding("profile.x", Severity.WARN, HOSTILE[0], HOSTILE[1], HOSTILE[3])
    return Page(render_report(replace(report, findings=(finding, *report.findings))))


def test_hostile_names_and_values_are_only_text(hostile_page: Page) -> None:
    assert not {"script", "img", "iframe", "object", "embed", "form", "base", "link"} & hostile_page.tags
    assert [name for _, name, _ in hostile_page.attributes if name.startswith("on")] == []
    text = "".join(hostile_page.texts)
    assert all(value in text for value in HOSTILE)
    assert "49" not in [part.strip() for part in hostile_page.texts]


def test_the_page_refers_to_nothing_outside_itself(hostile_page: Page) -> None:
    references = [value for name in ("href", "src", "action", "xlink:href", "data") for value in hostile_page.values(name)]
    assert references
    assert all(re.fullmatch(r"#[a-z0-9]+", reference) for reference in references)
    assert {reference[1:] for reference in references} <= set(hostile_page.values("id"))
    assert len(set(hostile_page.values("id"))) == len(hostile_page.values("id"))
    assert not {"style"} & {name for _, name, _ in hostile_page.attributes}


def test_the_page_forbids_whatever_it_does_not_need(small_report: Report) -> None:
    html = render_report(small_report)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert html.index("Content-Security-Policy") < html.index("<title>")
    assert "url(" not in html
    assert "@import" not in html


def test_plots_say_in_words_what_they_show(hostile_page: Page, small_report: Report) -> None:
    """Everything drawn is labelled, or hidden because its number stands beside it."""
    for page in (hostile_page, Page(render_report(small_report))):
        drawings = [tag for tag, name, _ in page.attributes if tag == "svg" and name in {"aria-label", "aria-hidden"}]
        assert len(drawings) == sum(tag == "svg" for tag, name, _ in page.attributes if name == "viewbox")
        assert page.values("scope").count("col") >= 8


def test_text_that_does_not_show_is_made_visible() -> None:
    assert readable_value("") == "(empty)"
    assert readable_value("  ") == "␠␠"
    assert readable_value("a\x00b\u202ec\ufeff") == "a␀b\\u202ec\\ufeff"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2013, "2013"),
        (1234567, "1,234,567"),
        (2**70, "1.1806e+21"),
        (0.1 + 0.2, "0.3"),
        (1234567.891, "1,234,567.9"),
        (1e-9, "1e-09"),
        (-1e300, "-1e+300"),
        (2.0, "2"),
        (True, "true"),
        (None, "–"),
    ],
)
def test_numbers_are_rounded_for_the_eye(value: Any, shown: str) -> None:
    assert readable_value(value) == shown


def test_only_nothing_and_everything_are_round_shares() -> None:
    assert [readable_share(share) for share in (0.0, 0.00001, 0.25, 0.99999, 1.0)] == [
        "0 %",
        "< 0.1 %",
        "25.0 %",
        "> 99.9 %",
        "100 %",
    ]


def test_the_document_is_strict_json_with_every_key(small_report: Report) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(small_report.to_bytes(), parse_constant=refuse)
    assert document["report_version"] == 1
    keys = [set(column) for column in document["tables"][0]["columns"]]
    assert all(each == keys[0] for each in keys)


def test_the_document_of_a_small_table_is_as_it_was(small_report: Report) -> None:
    """A difference here is a change of what readers of report.json rely on."""
    assert json.loads(small_report.to_bytes()) == json.loads(GOLDEN.read_text("utf-8"))


def test_integers_of_any_size_and_lone_surrogates_survive(tmp_path: Path) -> None:
    report = report_of(write_parts(tmp_path, pa.table({"n": pa.array([2**64 - 1], pa.uint64())})), file="caf\udce9.csv")
    document = json.loads(report.to_bytes())
    assert document["tables"][0]["columns"][0]["max"] == 2**64 - 1
    assert document["dataset"]["name"] == "caf?.csv"


@pytest.mark.parametrize("rows", [0, 1])
def test_tables_of_no_and_of_one_row_have_reports(rows: int, tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1]),
        "f": pa.array([1.5]),
        "s": pa.array(["x"]),
        "b": pa.array([True]),
        "t": pa.array([AT]),
        "l": pa.array([[1]]),
    }
    report = report_of(write_parts(tmp_path, pa.table(columns).slice(0, rows)))
    table = report.tables[0]
    assert (table.rows, table.duplicate_rows, table.missing_share) == (rows, 0, 0.0)
    assert all((c.distinct, c.is_constant, c.is_unique) == (rows, False, rows == 1) for c in table.columns)
    assert report.findings == ()
    assert "no values" in render_report(report) or rows


def test_a_table_without_parts_has_no_columns() -> None:
    report = report_of([])
    assert (report.tables[0].rows, report.tables[0].columns) == (0, ())
    Page(render_report(report))


def test_two_hundred_columns_each_have_a_row_and_a_card(tmp_path: Path) -> None:
    table = pa.table({f"column {number}": pa.array(range(number, number + 30)) for number in range(200)})
    page = Page(render_report(report_of(write_parts(tmp_path, table))))
    assert sum(tag == "article" and name == "id" for tag, name, _ in page.attributes) == 200
    assert {f"#t1c{number}" for number in range(1, 201)} <= set(page.values("href"))


def test_both_files_are_written_below_the_prefix(small_report: Report) -> None:
    store = MemoryStore()
    files = write_report(small_report, store, Root.REPORTS, "datasets/x/1/")
    assert [file.key for file in files] == ["datasets/x/1/report.json", "datasets/x/1/report.html"]
    assert [store.read_bytes(Root.REPORTS, file.key)[:1] for file in files] == [b"{", b"<"]
    assert all(file.size_bytes == len(store.read_bytes(Root.REPORTS, file.key)) for file in files)

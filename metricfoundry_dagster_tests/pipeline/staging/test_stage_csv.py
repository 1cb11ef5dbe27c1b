"""CSV: every record becomes a row or a reject, whatever is wrong with the file and wherever its blocks end."""

import csv
import io
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metricfoundry_dagster.domain.errors import InternalError, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.cut_records import Block, RecordCutter
from metricfoundry_dagster.pipeline.staging.read_csv_block import CsvBlockReader
from metricfoundry_dagster.pipeline.staging.rejects import Rows
from metricfoundry_dagster.pipeline.staging.split_fields import FieldRule
from metricfoundry_dagster.pipeline.staging.stage_file import stage_file
from metricfoundry_dagster.pipeline.staging.text_kinds import Kind
from metricfoundry_dagster.pipeline.staging.typed_columns import TypedColumn
from metricfoundry_dagster.pipeline.staging.write_blocks import write_blocks
from metricfoundry_dagster.pipeline.staging.write_table import Destination
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import CSV, refusal, stage

BLOCKS = [7, 64, 1000, 8 * 1024**2]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_one_bad_record_costs_one_record_wherever_it_lies(block_bytes: int) -> None:
    """A parser that reads chunks in parallel loses a whole chunk when its first record is bad."""
    for bad in range(2, 40):
        lines = [f"{number},x\n" for number in range(40)]
        lines[bad] = f"{bad}\n"
        staged = stage("a,b\n" + "".join(lines), block_bytes=block_bytes, **CSV)
        assert staged.column("a") == [number for number in range(40) if number != bad]
        assert staged.reject_codes() == [(bad + 2, "csv.ragged_row")]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_an_open_quote_in_the_middle_costs_one_row(block_bytes: int) -> None:
    lines = [f"{number},x\n" for number in range(200)]
    lines[100] = '100,"open\n'
    staged = stage("a,b\n" + "".join(lines), block_bytes=block_bytes, **CSV)
    assert len(staged.table) == 199
    assert staged.reject_codes() == [(102, "csv.unterminated_quote")]
    assert staged.rejects[0]["raw"] == '100,"open'


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_ragged_thirds_are_rejects_and_extra_columns_are_not_dropped(block_bytes: int) -> None:
    content = "a,b\n" + "1,x\n2,x,extra\n3\n" * 50
    staged = stage(content, block_bytes=block_bytes, **CSV)
    assert staged.column("a") == [1] * 50
    assert [reject["raw"] for reject in staged.rejects] == ["2,x,extra", "3"] * 50
    assert [reject["line"] for reject in staged.rejects[:4]] == [3, 4, 6, 7]
    assert staged.rejects[0]["reason"] == "the record has 3 fields, 2 are expected"


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_line_ends_may_be_mixed_and_blank_lines_are_nothing(block_bytes: int) -> None:
    staged = stage(b"a,b\r\n1,x\n2,y\r3,z\r\n\r\n\n\r4\n5,w", block_bytes=block_bytes, **CSV)
    assert staged.column("a") == [1, 2, 3, 5]
    assert staged.reject_codes() == [(8, "csv.ragged_row")]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_quoted_line_ends_are_values_and_rejects_tell_physical_lines(block_bytes: int) -> None:
    staged = stage(b'a,b\n1,"x\r\ny\n"\n2\n"3","q""q"\n4,"a"b\n', block_bytes=block_bytes, **CSV)
    assert staged.column("b") == ["x\r\ny\n", 'q"q']
    assert staged.reject_codes() == [(5, "csv.ragged_row"), (7, "csv.malformed_quote")]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_bytes_that_are_no_utf8_cost_their_record_only(block_bytes: int) -> None:
    content = b"a,b\n" + b"1,x\n" * 5 + b"2,\xff\n" + b"3,\xe9,ragged\n" + b"\xff,x\n" + b"4,\xc3\xa9\n"
    staged = stage(content, block_bytes=block_bytes, **CSV)
    assert staged.column("a") == [1] * 5 + [4]
    assert staged.column("b")[-1] == "é"
    assert staged.reject_codes() == [(line, "text.invalid_encoding") for line in (7, 8, 9)]
    assert staged.rejects[0]["raw"] == "2,�"
    assert staged.rejects[0]["reason"] == "byte 0xff at offset 2 of the record is not UTF-8"


def test_a_record_above_the_bound_is_a_reject() -> None:
    staged = stage("a,b\n1,x\n2," + "y" * 100 + "\n3,z\n", limits=Limits(max_record_bytes=50, max_raw_chars=20), **CSV)
    assert staged.column("a") == [1, 3]
    assert staged.reject_codes() == [(3, "csv.record_too_long")]
    assert staged.rejects[0]["raw"] == "2," + "y" * 17 + "…"


@pytest.mark.parametrize("block_bytes", [4, 1000])
def test_a_mark_inside_the_file_is_a_value(block_bytes: int) -> None:
    """The parser takes a byte order mark away from the beginning of whatever it is given."""
    staged = stage("\ufeffa\n\ufeffx\ny\n\ufeffz\n", block_bytes=block_bytes, **CSV)
    assert staged.table.column_names == ["a"]
    assert staged.column("a") == ["\ufeffx", "y", "\ufeffz"]


def test_a_record_that_the_parser_does_not_take_as_one_is_a_reject() -> None:
    """A block in which two lines are claimed to be one record."""
    (block,) = RecordCutter(FieldRule(",", '"'), max_record_bytes=100).blocks([(b"1\n2\n3\n", True)])
    claimed = Block(block._marks, block.starts[[0, 2]], block.stops[[1, 2]], first_line=1, rejects=())
    rows = CsvBlockReader(Recipe("csv"), [TypedColumn("a", "a", Kind.INT)]).read(claimed)
    assert rows.table.to_pylist() == [{"a": 3}]
    assert [(reject.line, reject.code, reject.raw) for reject in rows.rejects] == [(1, "csv.unparsable", b"1\n2")]


class ForgetfulReader(CsvBlockReader):
    """Loses the last row of each block."""

    def read(self, block: Block) -> Rows:
        rows = super().read(block)
        return Rows(rows.table[:-1], rows.rejects)


def test_a_reader_that_loses_a_row_stops_everything() -> None:
    cutter = RecordCutter(FieldRule(",", '"'), max_record_bytes=100)
    reader = ForgetfulReader(Recipe("csv"), [TypedColumn("a", "a")])
    store = MemoryStore()
    to = Destination(store, Root.ARTIFACTS, "", "t", "t.csv", 100)
    with pytest.raises(InternalError) as caught:
        write_blocks(lambda: nullcontext(cutter.blocks([(b"1\n2\n", True)])), reader, to)
    assert caught.value.code == "staging.out_of_balance"
    assert store.objects == {}


def test_a_nul_byte_is_a_value() -> None:
    assert stage(b"a,b\n1,x\x00y\n", **CSV).column("b") == ["x\x00y"]


def test_an_unquoted_empty_field_is_null_and_a_quoted_one_is_empty() -> None:
    staged = stage('a,b\n1,\n2,""\n3,x\n,y\n"",z\n', **CSV)
    assert staged.column("b") == [None, "", "x", "y", "z"]
    assert staged.column("a") == [1, 2, 3, None, None]


def test_quotes_are_text_when_the_file_quotes_nothing() -> None:
    staged = stage('a,b\n1,"x\n2,y"\n', **{**CSV, "quote": None})
    assert staged.column("b") == ['"x', 'y"']


def test_columns_are_named_by_the_header_or_counted() -> None:
    staged = stage("A ,b,b,,__time\n1,2,3,4,5\n", **CSV)
    assert [(c.name, c.source_name) for c in staged.product.columns] == [
        ("A", "A "),
        ("b", "b"),
        ("b_2", "b"),
        ("column_4", ""),
        ("__time_2", "__time"),
    ]
    headerless = stage("1,2\n3,4\n", **{**CSV, "has_header": False})
    assert [(c.name, c.source_name) for c in headerless.product.columns] == [("column_1", None), ("column_2", None)]
    assert headerless.column("column_1") == [1, 3]


def test_a_header_alone_is_a_table_without_rows() -> None:
    staged = stage("a,b\n", **CSV)
    assert (staged.product.rows_in, len(staged.table), staged.types) == (0, 0, {"a": "string", "b": "string"})
    assert [file.role for file in staged.files] == ["part"]


def test_a_header_may_hold_quotes_and_line_ends() -> None:
    assert stage('"a\nb","c ""d"""\n1,2\n', **CSV).table.column_names == ["a_b", "c_d"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\n\n", "file.empty"),
        (b'"open,b\n1,2\n', "file.unknown_format"),
        (b"\xff,\xc3\xa9\n1,2\n", "csv.undecodable"),
        (b"a," * 10 + b"\n1\n", "csv.too_many_columns"),
    ],
)
def test_a_file_without_a_readable_header_is_refused(content: bytes, code: str) -> None:
    assert refusal(content, limits=Limits(max_columns=5), **CSV).code == code


def test_progress_rises_to_one_although_the_file_is_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 100 + "x\n")
    shares: list[float] = []
    stage_file(
        path,
        filename="t.csv",
        store=MemoryStore(),
        root=Root.ARTIFACTS,
        prefix="",
        overrides=CSV,
        limits=Limits(),
        progress=shares.append,
        block_bytes=16,
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 10


FIELDS = st.text(alphabet=st.sampled_from('ab,"\n\r é\u2028#;'), max_size=6)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width), min_size=1, max_size=8)
)


@given(TABLES, st.booleans(), st.sampled_from([1, 5, 1000]))
def test_any_table_that_the_csv_module_writes_comes_back(rows: list[list[str]], quote_all: bool, block_bytes: int) -> None:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerows([[f"c{number}" for number in range(len(rows[0]))], *rows])
    types = {f"c{number}": "string" for number in range(len(rows[0]))}
    staged = stage(sink.getvalue(), block_bytes=block_bytes, types=types, **CSV)
    found = [list(row.values()) for row in staged.table.to_pylist()]
    assert [[value or "" for value in row] for row in found] == rows
    if quote_all:
        assert found == rows


TOKENS = [b"a", b",", b'"', b"\n", b"\r", b"1", b"0", b"-", b"NA", b"2.5", b"\xff", b"\xc3\xa9", b"\x00", b" ", b'"\n', b',"']
DIRTY = st.lists(st.sampled_from(TOKENS), max_size=30).map(b"".join)


@given(DIRTY, st.sampled_from([1, 2, 5]), st.booleans(), st.sampled_from(['"', None]), st.sampled_from([8, 1000]))
@example(b'a\n1\n\n"x\n2\xff,\n', 1, True, '"', 1000)
def test_any_bytes_balance_and_blocks_change_nothing(
    data: bytes, block_bytes: int, has_header: bool, quote: str | None, max_record_bytes: int
) -> None:
    options = {**CSV, "has_header": has_header, "quote": quote}
    limits = Limits(max_record_bytes=max_record_bytes)
    try:
        whole = stage(data, limits=limits, **options)
    except UserError:
        assert refusal(data, limits=limits, block_bytes=block_bytes, **options) == refusal(data, limits=limits, **options)
        return
    cut = stage(data, limits=limits, block_bytes=block_bytes, **options)
    assert cut.product == whole.product
    assert cut.table.equals(whole.table)
    assert cut.rejects == whole.rejects

"""The cutter counts records by itself, exactly, wherever the chunks end."""

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metricfoundry_dagster.pipeline.staging.cut_records import RecordCutter
from metricfoundry_dagster.pipeline.staging.rejects import Reject
from metricfoundry_dagster.pipeline.staging.split_fields import FieldRule

Records = list[tuple[int, bytes]]
Faults = list[tuple[int, str, bytes]]


def cut(
    data: bytes, *, chunk_bytes: int | None = None, quote: str | None = '"', max_record_bytes: int = 1000
) -> tuple[Records, Faults]:
    """Records and rejects with their physical lines."""
    size = chunk_bytes or max(len(data), 1)
    chunks = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    cutter = RecordCutter(FieldRule(",", quote), max_record_bytes=max_record_bytes)
    records: Records = []
    faults: Faults = []
    for block in cutter.blocks((chunk, number == len(chunks) - 1) for number, chunk in enumerate(chunks)):
        found = [(block.line(number), block.record(number)) for number in range(block.record_count)]
        text = bytes(block.text())
        assert all(text[start:].startswith(raw) for start, (_line, raw) in zip(block.text_starts(), found, strict=True))
        records += found
        faults += [(reject.first_line, reject.code, reject.raw) for reject in block.rejects]
    return records, faults


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_ends_a_record(end: bytes) -> None:
    assert cut(b"a,b" + end + b"1,2" + end) == ([(1, b"a,b"), (2, b"1,2")], [])


def test_line_ends_may_be_mixed_and_the_last_one_may_be_missing() -> None:
    assert cut(b"a\nb\r\nc\rd") == ([(1, b"a"), (2, b"b"), (3, b"c"), (4, b"d")], [])


def test_blank_lines_are_no_records_but_count_as_lines() -> None:
    assert cut(b"\n\r\na\n\n\r\rb\n\n") == ([(3, b"a"), (7, b"b")], [])
    assert cut(b"") == ([], [])


def test_a_line_of_blanks_is_a_record() -> None:
    assert cut(b" \n\t\n") == ([(1, b" "), (2, b"\t")], [])


def test_line_ends_inside_quotes_end_no_record() -> None:
    assert cut(b'1,"x\n\r\ny"\n2,z\n') == ([(1, b'1,"x\n\r\ny"'), (4, b"2,z")], [])


def test_doubled_quotes_are_text() -> None:
    assert cut(b'"a""\n""b"\n""\n""""\n') == ([(1, b'"a""\n""b"'), (3, b'""'), (4, b'""""')], [])


def test_a_quote_inside_an_unquoted_field_is_text() -> None:
    assert cut(b'1,5" pipe\n2,3"\n"3","x\ny"\n') == ([(1, b'1,5" pipe'), (2, b'2,3"'), (3, b'"3","x\ny"')], [])


def test_without_a_quote_character_quotes_are_text() -> None:
    assert cut(b'"a\n"b\n', quote=None) == ([(1, b'"a'), (2, b'"b')], [])


def test_an_open_quote_in_the_middle_costs_its_own_line_only() -> None:
    records, faults = cut(b'1,a\n2,"open\n3,"b"\n4,c\n5,"d\ne"\n')
    assert records == [(1, b"1,a"), (3, b'3,"b"'), (4, b"4,c"), (5, b'5,"d\ne"')]
    assert faults == [(2, "csv.unterminated_quote", b'2,"open')]


def test_an_open_quote_with_no_quote_behind_it_costs_its_own_line_only() -> None:
    records, faults = cut(b'1,a\n2,"open\n3,b\n4,c')
    assert records == [(1, b"1,a"), (3, b"3,b"), (4, b"4,c")]
    assert faults == [(2, "csv.unterminated_quote", b'2,"open')]


def test_text_behind_a_closing_quote_is_a_reject() -> None:
    assert cut(b'1,"a"x,2\r\n3,b\r\n') == ([(2, b"3,b")], [(1, "csv.malformed_quote", b'1,"a"x,2')])


def test_a_record_above_the_bound_is_rejected_by_its_first_line() -> None:
    assert cut(b"1234567890\nab\n", max_record_bytes=5) == ([(2, b"ab")], [(1, "csv.record_too_long", b"12345")])
    assert cut(b'"a\nb\nc\nd\n"\nx\n', max_record_bytes=8) == (
        [(2, b"b"), (3, b"c"), (4, b"d"), (6, b"x")],
        [(1, "csv.record_too_long", b'"a'), (5, "csv.unterminated_quote", b'"')],
    )


def test_a_line_without_end_is_dropped_in_bounded_memory() -> None:
    cutter = RecordCutter(FieldRule(",", '"'), max_record_bytes=100)
    rejects: list[Reject] = []
    for block in cutter.blocks([(b"x" * 1000, False)] * 1000):
        rejects += block.rejects
        assert len(cutter._pending) <= 1100
    (block,) = cutter.blocks([(b"\nlast\n", True)])
    assert [(block.line(0), block.record(0))] == [(2, b"last")]
    assert [(reject.line, reject.code, len(reject.raw)) for reject in rejects] == [(1, "csv.record_too_long", 100)]


def test_very_many_records_come_in_several_blocks_with_the_rejects_between_them() -> None:
    line = b'1\n"a"b\n'
    blocks = list(RecordCutter(FieldRule(",", '"'), max_record_bytes=100).blocks([(line * 450_000, True)]))
    assert max(block.record_count for block in blocks) <= 200_000
    assert max(len(block.rejects) for block in blocks) <= 210_000
    lines = np.concatenate([block.lines() for block in blocks])
    assert lines.tolist() == list(range(1, 900_001, 2))
    assert [reject.line for block in blocks for reject in block.rejects] == list(range(2, 900_001, 2))
    plain = list(RecordCutter(FieldRule(",", '"'), max_record_bytes=100).blocks([(b"1\n" * 450_000, True)]))
    assert [block.record_count for block in plain] == [200_000, 200_000, 50_000]
    assert plain[2].line(0) == 400_001


def test_inch_marks_are_text_where_a_line_starts_outside_quotes_only() -> None:
    records, faults = cut(b'1,5" pipe\n2,"x\n3" y","z"\n4,3"\n')
    assert records == [(1, b'1,5" pipe'), (3, b'3" y","z"'), (4, b'4,3"')]
    assert faults == [(2, "csv.unterminated_quote", b'2,"x')]
    assert cut(b'1,5"\n2,"x\ny",3"\n') == ([(1, b'1,5"'), (2, b'2,"x\ny",3"')], [])


def test_many_misplaced_quotes_are_walked_in_reasonable_time() -> None:
    """Each line opens a quote that only the last line could close: naive scanning would be quadratic."""
    lines = 20_000
    data = b'"""\n' * 2 + b'"a""\n""b\n' * lines
    records, faults = cut(data, max_record_bytes=len(data))
    assert len(records) + len(faults) <= 2 * lines + 2
    assert len(faults) >= lines


DIRTY = st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b'"\n', b',"', b'""', b'5" b', b"b c"]), max_size=40).map(
    b"".join
)


@given(DIRTY, st.integers(1, 9), st.sampled_from([4, 12, 1000]))
@example(b'"a,b"a\n', 1, 4)
@example(b'""aa\n', 1, 4)
@example(b"abcdefgh\r\nx", 9, 4)
@example(b"abcdefgh\rx\n", 9, 4)
def test_where_chunks_end_changes_nothing(data: bytes, chunk_bytes: int, max_record_bytes: int) -> None:
    assert cut(data, chunk_bytes=chunk_bytes, max_record_bytes=max_record_bytes) == cut(data, max_record_bytes=max_record_bytes)


def by_the_letter(data: bytes) -> tuple[Records, Faults]:
    """The definition of a record, byte by byte."""
    records: Records = []
    faults: Faults = []
    text = data if data.endswith((b"\n", b"\r")) or not data else data + b"\n"
    position, line = 0, 1
    while position < len(text):
        first_end = _line_stop(text, position)
        stop, fault = _record_stop(text, position)
        if fault is not None:
            code = "csv.malformed_quote" if fault < first_end else "csv.unterminated_quote"
            faults.append((line, code, text[position:first_end].rstrip(b"\r\n")))
            stop = first_end
        elif raw := _without_end(text[position:stop]):
            records.append((line, raw))
        while position < stop:
            position = _line_stop(text, position)
            line += 1
    return records, faults


def _record_stop(text: bytes, position: int) -> tuple[int, int | None]:
    """Where the record ends, or a fault shows."""
    at_field_start = True
    while True:
        byte = text[position : position + 1]
        if at_field_start and byte == b'"':
            position += 1
            while text[position : position + 1] != b'"' or text[position : position + 2] == b'""':
                position += 2 if text[position : position + 2] == b'""' else 1
                if position >= len(text):
                    return position, position
            position += 1
            if text[position : position + 1] not in (b",", b"\r", b"\n"):
                return position, position
            at_field_start = False
        elif byte in (b"\r", b"\n"):
            return _line_stop(text, position), None
        else:
            at_field_start = byte == b","
            position += 1


def _line_stop(text: bytes, position: int) -> int:
    while text[position] not in b"\r\n":
        position += 1
    return position + (2 if text[position : position + 2] == b"\r\n" else 1)


def _without_end(raw: bytes) -> bytes:
    return raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]


@given(DIRTY)
@example(b'1,5"\n2,"x\ny",3"\n')
@example(b'5"\n"a\nb"\n"c"\n')
@example(b'a"\n"\n"\nb"\n')
@settings(max_examples=300)
def test_records_are_cut_by_the_letter(data: bytes) -> None:
    assert cut(data) == by_the_letter(data)


@given(DIRTY)
def test_every_physical_line_is_in_a_record_or_a_reject_or_blank(data: bytes) -> None:
    records, faults = cut(data)
    kept = sorted([(line, raw) for line, raw in records] + [(line, raw) for line, _code, raw in faults])
    rebuilt = b"\n".join(raw for _line, raw in kept)
    assert _bare(rebuilt) == _bare(data)


def _bare(data: bytes) -> bytes:
    """Without line ends, of which those outside records are not kept."""
    return data.replace(b"\r", b"").replace(b"\n", b"")


FIELDS = st.text(alphabet=st.sampled_from('ab,"\n\r é0'), max_size=5)


@given(st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=8), st.sampled_from(["\n", "\r\n"]), st.integers(1, 20))
def test_the_count_is_that_of_the_csv_module_on_well_formed_text(rows: list[list[str]], end: str, chunk_bytes: int) -> None:
    sink = io.StringIO(newline="")
    csv.writer(sink, lineterminator=end).writerows(rows)
    data = sink.getvalue().encode()
    records, faults = cut(data, chunk_bytes=chunk_bytes)
    assert faults == []
    assert len(records) == sum(1 for row in csv.reader(io.StringIO(data.decode(), newline="")) if row)

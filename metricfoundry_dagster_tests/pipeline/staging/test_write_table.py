"""Parts and rejects of a table: whole files or none."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.pipeline.staging.rejects import Reject, raw_text
from metricfoundry_dagster.pipeline.staging.write_table import ROW_GROUP_ROWS, Destination, open_table
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore

SCHEMA = pa.schema([("n", pa.int64()), ("c", pa.string())])


def destination(store: MemoryStore) -> Destination:
    return Destination(store, Root.ARTIFACTS, "x/", "t", "f.csv", 20)


def rows(count: int) -> pa.Table:
    return pa.table([pa.array(range(count)), pa.array(["same"] * count)], schema=SCHEMA)


def metadata(store: MemoryStore, key: str) -> Any:
    return pq.ParquetFile(pa.BufferReader(store.read_bytes(Root.ARTIFACTS, key))).metadata


def test_rows_come_in_bounded_row_groups_and_repeated_values_in_dictionaries() -> None:
    store = MemoryStore()
    with open_table(destination(store), SCHEMA) as writer:
        for _ in range(6):
            writer.write(rows(50_000))
        writer.finish()
    (file,) = writer.files()
    found = metadata(store, "x/t/part-00000.parquet")
    assert [found.row_group(number).num_rows for number in range(found.num_row_groups)] == [
        ROW_GROUP_ROWS,
        ROW_GROUP_ROWS,
        37_856,
    ]
    number, text = found.row_group(0).column(0), found.row_group(0).column(1)
    assert {number.compression, text.compression} == {"ZSTD"}
    assert (number.has_dictionary_page, text.has_dictionary_page) == (False, True)
    assert (file.rows, file.role, file.table) == (300_000, "part", "t")


def test_a_large_table_has_several_parts() -> None:
    store = MemoryStore()
    schema = pa.schema([("b", pa.bool_())])
    with open_table(destination(store), schema) as writer:
        for _ in range(6):
            writer.write(pa.table([pa.array([True]).take(pa.array([0] * 1_000_000))], schema=schema))
        writer.finish()
    files = writer.files()
    assert [file.key for file in files] == ["x/t/part-00000.parquet", "x/t/part-00001.parquet"]
    assert sum(file.rows or 0 for file in files) == 6_000_000
    assert files[0].rows is not None
    assert files[0].rows < 5_000_000 + ROW_GROUP_ROWS


def test_rejects_lie_beside_the_parts_and_only_when_there_are_any() -> None:
    store = MemoryStore()
    with open_table(destination(store), SCHEMA) as writer:
        writer.write(rows(1))
        writer.reject([])
        writer.reject([Reject(3, "csv.ragged_row", "why", b"a" * 30, "c")] * 25_000)
        writer.finish()
    assert [file.key for file in writer.files()] == ["x/t/part-00000.parquet", "x/rejects/t.parquet"]
    table = pq.read_table(pa.BufferReader(store.read_bytes(Root.ARTIFACTS, "x/rejects/t.parquet")))
    assert table.num_rows == writer.rows_rejected == 25_000
    assert table.slice(0, 1).to_pylist() == [
        {"source": "f.csv", "line": 3, "column": "c", "code": "csv.ragged_row", "reason": "why", "raw": "a" * 19 + "…"}
    ]


def test_an_exception_leaves_nothing_behind() -> None:
    store = MemoryStore()

    def write_and_fail() -> None:
        with open_table(destination(store), SCHEMA) as writer:
            writer.write(rows(200_000))
            writer.reject([Reject(1, "csv.ragged_row", "why", b"a")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert store.objects == {}


def test_raw_text_is_cut_and_what_is_no_utf8_is_replaced() -> None:
    assert raw_text(b"ab\xff", 3) == "ab�"
    assert raw_text("éééé".encode(), 3) == "éé…"
    assert raw_text("😀".encode() * 10**6, 4) == "😀😀😀…"

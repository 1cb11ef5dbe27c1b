"""What a file is, told by its first and last bytes."""

import gzip
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.pipeline.recognise_format import HEAD_BYTES, TAIL_BYTES, recognise_format


def recognise(content: bytes, filename: str = "data.csv") -> tuple[str, str]:
    return recognise_format(content[:HEAD_BYTES], content[-TAIL_BYTES:], filename, len(content))


def refusal(content: bytes, filename: str = "data.csv") -> str:
    with pytest.raises(UserError) as caught:
        recognise(content, filename)
    assert caught.value.record.place.file == filename
    assert caught.value.record.hint
    return caught.value.code


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": list(range(100))}), sink)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("content", "filename", "expected"),
    [
        (b"a,b\n1,2\n", "data.csv", "csv"),
        (b"a\tb\n1\t2\n", "anything", "csv"),
        (b'{"a": 1}\n{"a": 2}\n', "data.csv", "jsonl"),
        (b'\xef\xbb\xbf\n{"a": 1}\n', "data", "json"),
        (b'{"a": 1}\n', "data.jsonl", "jsonl"),
        (b'{\n "a": 1\n}', "data.csv", "json"),
        (b'[{"a": 1},\n{"a": 2}]', "data.csv", "json"),
        (b'[{"a": "' + b"x" * 300_000 + b'"}]', "data", "json"),
        (b'{"a": 1}\n{"a": 2}\n', "data.json", "jsonl"),
        (b'{"a": 1} {"a": 2}\n', "data.json", "json"),
        (b"[" * 300_000, "data", "json"),
        (b"[1, 2", "data.json", "json"),
        (b"nul", "data.json", "json"),
        (b"[a],[b]\n1,2\n", "data.csv", "csv"),
        (b"[1],[2]\n[3],[4]\n", "data.csv", "csv"),
        (b"{broken\n" + b'{"a": 1}\n', "data", "jsonl"),
        (b"1\n2\n", "data.jsonl", "jsonl"),
        (b"{a},b\n1,2\n", "data.csv", "csv"),
        (b"ORC,b\n1,2\n", "data.csv", "csv"),
        (b"a,b\n1,\x00\n", "data.csv", "csv"),
        ("é,ü\nß,ø\n".encode(), "data.csv", "csv"),
    ],
)
def test_text_is_told_by_its_content(content: bytes, filename: str, expected: str) -> None:
    assert recognise(content, filename) == (expected, "none")
    assert recognise(gzip.compress(content), filename + ".gz") == (expected, "gzip")


def test_parquet_is_told_by_its_magic() -> None:
    assert recognise(parquet(), "data.csv") == ("parquet", "none")
    assert recognise(gzip.compress(parquet())) == ("parquet", "gzip")


def test_sqlite_is_told_by_its_magic_and_an_encrypted_file_has_none() -> None:
    content = b"SQLite format 3\x00" + bytes(200)
    assert recognise(content, "data.csv") == ("sqlite", "none")
    assert recognise(gzip.compress(content)) == ("sqlite", "gzip")
    assert refusal(random.Random(1).randbytes(4096), "data.db") == "file.unknown_format"


@pytest.mark.parametrize("content", [b"", b" \n\r\n\t", b"\xef\xbb\xbf\n", gzip.compress(b""), gzip.compress(b"\n\n")])
def test_nothing_but_blanks_is_empty(content: bytes) -> None:
    assert refusal(content) == "file.empty"


@pytest.mark.parametrize(
    "content", [bytes(range(256)), b"\x7fELF" + bytes(60), b"PK\x03\x04rest", random.Random(1).randbytes(5000), b"\x00\x01\x02"]
)
def test_binary_named_as_text_says_so(content: bytes) -> None:
    assert refusal(content, "data.csv") == "file.binary_content"
    assert refusal(gzip.compress(content), "data.csv.gz") == "file.binary_content"
    assert refusal(content, "data.bin") == "file.unknown_format"
    assert refusal(content, "data.parquet") == "parquet.corrupt"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_text_is_no_binary(encoding: str) -> None:
    content = "name,value\nfirst,1\nsecond,2\n".encode(encoding)
    assert recognise_format(content, content[-8:], "t.csv", len(content)) == ("csv", "none")


def test_a_web_page_is_no_table() -> None:
    assert refusal(b"\n<!DOCTYPE html><html><body>404</body></html>") == "file.unknown_format"


def test_gzip_faults_that_show_at_once() -> None:
    whole = gzip.compress(os.urandom(1000))
    assert refusal(whole[:12]) == "gzip.truncated"
    assert refusal(whole[:10] + b"\xff\xff\xff" + whole[13:]) == "gzip.corrupt"
    assert refusal(gzip.compress(gzip.compress(b"a,b\n"))) == "file.unknown_format"


def test_a_long_gzip_stream_needs_only_its_head() -> None:
    content = gzip.compress(random.Random(2).randbytes(3 * HEAD_BYTES).hex().encode())
    assert recognise_format(content[:HEAD_BYTES], content[-8:], "x.csv", len(content)) == ("csv", "gzip")


@pytest.mark.parametrize("broken", [parquet()[:-1], parquet()[:-4], b"PAR1", b"PAR1" + b"\xff" * 20 + b"PAR1"])
def test_a_parquet_file_must_end_as_one(broken: bytes) -> None:
    assert refusal(broken, "data.parquet") == "parquet.broken_footer"


def test_encrypted_parquet_is_not_supported() -> None:
    assert refusal(b"PAR1" + b"\x00" * 20 + b"PARE", "data.parquet") == "parquet.unsupported"

"""Workbooks made to hurt: a clear error within bounds, and the worker lives on."""

import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.recognise_workbook import OLE_MAGIC
from metricfoundry_dagster.pipeline.staging.ask_workbook import open_workbook
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import refusal, stage
from metricfoundry_dagster_tests.pipeline.staging.workbook_bytes import package, sheet_xml, with_sheet, workbook

_SECTOR = 512
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def compound_file(*streams: str) -> bytes:
    """An old Office file with empty streams of these names."""
    header = OLE_MAGIC + bytes(16) + struct.pack("<HHHHH", 62, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, _END, 0, _END, 0)
    header += struct.pack("<109I", 0, *[_FREE] * 108)
    fat = struct.pack("<128I", _FAT, _END, *[_FREE] * 126)
    entries = b"".join(_entry(name, 5 if name == "Root Entry" else 2) for name in ("Root Entry", *streams))
    return header + fat + entries.ljust(_SECTOR, b"\0")


def _entry(name: str, kind: int) -> bytes:
    encoded = name.encode("utf-16-le")
    ids = struct.pack("<HBBIII", len(encoded) + 2, kind, 1, _FREE, _FREE, _FREE)
    return encoded.ljust(64, b"\0") + ids + bytes(36) + struct.pack("<IQ", _END, 0)


def test_far_cells_abort_the_reader_but_not_us() -> None:
    """The reader takes memory for all cells between these two, and aborts when there is none."""
    corners = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    corners += b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    data = with_sheet(workbook({"S": [[1]]}), corners + b"</sheetData></worksheet>")
    assert len(data) < 2_000
    assert refusal(data, "t.xlsx").code == "excel.reader_died"
    assert stage(workbook({"S": [["a"], [1]]}), "t.xlsx").column("a") == [1]


def test_a_password_is_named() -> None:
    assert refusal(compound_file("EncryptionInfo", "EncryptedPackage"), "t.xlsx").code == "excel.encrypted"


def test_other_old_office_files_are_no_workbooks() -> None:
    assert refusal(compound_file("WordDocument"), "t.doc").code == "file.unknown_format"
    assert refusal(OLE_MAGIC, "t.xls").code == "file.unknown_format"
    assert refusal(compound_file("Workbook"), "t.xls").code == "excel.no_table"


def test_what_unpacks_to_too_much_is_not_opened() -> None:
    bomb = package({"xl/workbook.xml": b" " * 300_000})
    record = refusal(bomb, "t.xlsx", limits=Limits(max_workbook_bytes=200_000))
    assert (record.code, "200000 are allowed" in record.message) == ("excel.too_large", True)
    assert refusal(bomb, "t.xlsx", limits=Limits(expansion_floor_bytes=1, max_expansion_ratio=50)).code == "excel.too_large"
    assert refusal(bomb, "t.xlsx", limits=Limits(max_members=2)).code == "excel.too_large"


def test_a_part_that_is_larger_than_its_directory_says_is_refused() -> None:
    xml = sheet_xml([["a"], [1]] + [[None]] * 50_000).encode()
    data = bytearray(with_sheet(workbook({"S": [["a"]]}), xml))
    for size in (struct.pack("<I", len(xml)),):
        at = data.rfind(size)
        data[at : at + 4] = struct.pack("<I", 1_000)
    assert refusal(bytes(data), "t.xlsx").code == "excel.corrupt"


def test_a_changed_checksum_is_found() -> None:
    xml = sheet_xml([["a"], [1]]).encode()
    data = with_sheet(workbook({"S": [["a"]]}), xml)
    crc = struct.pack("<I", zlib.crc32(xml))
    assert refusal(data.replace(crc, bytes(4)), "t.xlsx").code == "excel.corrupt"


def test_a_million_formatted_rows_are_quick() -> None:
    rows = b"".join(b'<row r="%d"><c r="A%d" s="1"/></row>' % (number, number) for number in range(3, 2**20 + 1))
    head, tail = sheet_xml([["a"], [1]]).encode().split(b"</sheetData>")
    data = with_sheet(workbook({"S": [["a"]]}), head + rows + b"</sheetData>" + tail)
    staged = stage(data, "t.xlsx")
    assert (staged.column("a"), staged.product.rows_in) == ([1], 1)


def test_a_reader_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(workbook({"S": [["a"], [1]]}))
    with open_workbook(path, "t.xlsx", Limits(reader_timeout_seconds=0.001)) as book, pytest.raises(UserError) as caught:
        book.ask("sheets")
    assert caught.value.code == "excel.too_slow"


def test_entities_are_not_expanded() -> None:
    xml = sheet_xml([["a"], [1]])
    bomb = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + xml.replace(">a<", ">&e;<")
    assert refusal(with_sheet(workbook({"S": [["a"]]}), bomb.encode()), "t.xlsx").code == "excel.corrupt"


def test_broken_xml_is_scanned_in_linear_time() -> None:
    """Elements that never end must not make us search the rest of the sheet again for each."""
    for filler in (b"<row ", b"<row><c ", b'<row r="1">', b"<row><c><v>"):
        xml = b"<worksheet><sheetData>" + filler * (2 * 1024**2 // len(filler))
        assert refusal(with_sheet(workbook({"S": [["a"]]}), xml), "t.xlsx").code.startswith("excel.")


def test_a_directory_that_lies_is_refused() -> None:
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("[Content_Types].xml", "x")
        archive.writestr("xl/workbook.xml", "x")
    assert refusal(sink.getvalue()[:-30], "t.xlsx").code == "excel.corrupt"
    assert refusal(sink.getvalue(), "t.xlsx").code == "excel.corrupt"

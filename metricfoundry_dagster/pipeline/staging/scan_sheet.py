"""Counts what a sheet of an `.xlsx` workbook holds, in its XML, without any reader of workbooks.

One pass gives the first rows, the merged cells, and how many rows and cells of each kind there are: what a reader
gives must agree with that. Only the common way of writing the XML is understood; of any other nothing is said.
"""

import html
import posixpath
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.pipeline.staging.find_header import HeadCell, HeadRow, Merge

_CHUNK_BYTES = 256 * 1024
_HEAD_BYTES = 2 * 1024**2
_TAIL_BYTES = 4 * 1024**2
_SMALL_PART_BYTES = 16 * 1024**2
#: How it shows that a part is damaged.
_CORRUPT: tuple[Any, ...] = (OSError, struct.error, isal_zlib.error)
_LOCAL_HEADER = struct.Struct("<26xHH")
_QUAD = 4
#: What tells the kinds of cells apart, and the ends of rows; each has four bytes.
_TEXT_MARKS = (b'="s"', b'="st', b'="in')
_TRUTH_MARK, _ROW_MARK = b'="b"', b"</ro"
_MARKS = (*_TEXT_MARKS, _TRUTH_MARK, _ROW_MARK)
_ATTRIBUTE = re.compile(rb"""\b([\w:]{1,40})\s{0,9}=\s{0,9}("[^"]*"|'[^']*')""")
_MERGE = re.compile(rb"<mergeCell\b[^<>]*?ref=\"([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})\"")
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
#: A value, or text in a cell, that is not empty; a number of shared text counts, whatever that text is.
_HOLDS_VALUE = re.compile(rb"<[vt](?: [^<>]{0,200})?>[^<]")
_TEXT_TYPES = ("s", "str", "inlineStr")
_TAG_MAX_BYTES = 2_000
_ROW_MAX_BYTES = 64 * 1024**2
#: How many rows that hold anything are told.
HEAD_ROWS = 48
_HEAD_ELEMENTS = 5_000


@dataclass(frozen=True, slots=True)
class SheetScan:
    """What one sheet holds. `rows` counts elements that are not written as empty; they may hold no value still.

    `head` are its first rows, blank ones left out; `texts` and `truths` count cells, the first rows' included.
    """

    path: Path
    entry: zipfile.ZipInfo
    source: str
    head: tuple[HeadRow, ...]
    merges: tuple[Merge, ...]
    rows: int
    texts: int
    truths: int

    def exact_rows(self) -> int:
        """How many rows hold a value that is not empty: a second pass, for sheets with rows that are only formatted."""
        rows, rest = 0, b""
        for chunk in _unpacked(self.path, self.entry, self.source):
            *whole, rest = (rest + chunk).split(b"</row>")
            rows += sum(_HOLDS_VALUE.search(row) is not None for row in whole)
            if len(rest) > _ROW_MAX_BYTES:
                message = f"a row of {self.entry.filename} is longer than {_ROW_MAX_BYTES} bytes"
                raise UserError("excel.too_large", message, place=Place(file=self.source))
        return rows


@dataclass(frozen=True, slots=True)
class WorkbookParts:
    """Where the sheets of a workbook lie, in their order; None for one that cannot be scanned. `since_1904`: its days."""

    path: Path
    source: str
    sheets: dict[str, zipfile.ZipInfo | None]
    since_1904: bool

    def scan(self, name: str) -> SheetScan | None:
        """One pass over a sheet; None when nothing can be said of it.

        Raises:
            UserError: `excel.corrupt` when the sheet cannot be unpacked, or is not what its checksum says.
        """
        entry = self.sheets.get(name)
        return None if entry is None else _scan(self.path, entry, self.source)


def find_parts(path: Path, source: str) -> WorkbookParts:
    """The sheets of a workbook; of one that is not an `.xlsx` there are none to scan."""
    sheets: dict[str, zipfile.ZipInfo | None] = {}
    since_1904 = False
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        book, relations = _part(archive, entries, "xl/workbook.xml"), _part(archive, entries, "xl/_rels/workbook.xml.rels")
    targets = {found.get("Id", ""): found for found in _elements(relations, b"Relationship")}
    for found in _elements(book, b"workbookPr"):
        since_1904 = found.get("date1904", "0") in ("1", "true")
    for found in _elements(book, b"sheet"):
        relation = targets.get(next((value for key, value in found.items() if key.endswith(":id")), ""), {})
        target = posixpath.normpath(posixpath.join("/xl", relation.get("Target", ""))).lstrip("/")
        is_sheet = relation.get("Type", "").endswith("/worksheet")
        sheets[found.get("name", "")] = entries.get(target) if is_sheet else None
    return WorkbookParts(path, source, sheets, since_1904)


def _part(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    entry = entries.get(name)
    if entry is None or entry.file_size > _SMALL_PART_BYTES:
        return b""
    try:
        with archive.open(entry) as stream:
            return stream.read(_SMALL_PART_BYTES)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, EOFError, RuntimeError):
        return b""


def _elements(xml: bytes, name: bytes) -> Iterator[dict[str, str]]:
    for found in re.finditer(rb"<(?:\w{1,20}:)?" + name + rb"\b([^<>]*)>", xml):
        yield dict(_attributes(found[1]))


def _attributes(tag: bytes) -> Iterator[tuple[str, str]]:
    for key, value in _ATTRIBUTE.findall(tag[:_TAG_MAX_BYTES]):
        yield key.decode(), html.unescape(value[1:-1].decode("utf-8", "replace"))


def _scan(path: Path, entry: zipfile.ZipInfo, source: str) -> SheetScan | None:
    counts: Counter[bytes] = Counter()
    head, tail, rest = bytearray(), bytearray(), b""
    for chunk in _unpacked(path, entry, source):
        if len(head) < _HEAD_BYTES:
            head += chunk
        joined = rest + chunk
        counts.update(_count_marks(joined))
        rest = joined[1 - _QUAD :]
        end = joined.find(b"</sheetData>") if not tail else 0
        if end >= 0 and len(tail) < _TAIL_BYTES:
            tail += joined[end:] if not tail else chunk
    if b"<sheetData" not in head[:_HEAD_BYTES]:
        return None
    texts = sum(counts[mark] for mark in _TEXT_MARKS)
    merges = tuple(_merge(found) for found in _MERGE.finditer(tail))
    return SheetScan(
        path,
        entry,
        source,
        tuple(islice(_head_rows(bytes(head)), HEAD_ROWS)),
        merges,
        counts[_ROW_MARK],
        texts,
        counts[_TRUTH_MARK],
    )


def _count_marks(chunk: bytes) -> dict[bytes, int]:
    """How often each mark occurs; comparing four bytes at once is several times faster than searching for them."""
    counts = dict.fromkeys(_MARKS, 0)
    for start in range(_QUAD):
        length = max(len(chunk) - start, 0) // _QUAD
        if not length:
            continue
        quads = np.frombuffer(chunk[start:], np.uint32, length)  # a copy, for numpy is slow where it is not aligned
        for mark in _MARKS:
            counts[mark] += int(np.count_nonzero(quads == np.frombuffer(mark, np.uint32)[0]))
    return counts


def _unpacked(path: Path, entry: zipfile.ZipInfo, source: str) -> Iterator[bytes]:
    """The bytes of a part; never more than the directory says, and with the checksum that it says."""
    checksum = unpacked_bytes = 0
    try:
        for chunk in _inflated(path, entry):
            checksum = isal_zlib.crc32(chunk, checksum)
            unpacked_bytes += len(chunk)
            if unpacked_bytes > entry.file_size:
                break
            yield chunk
    except _CORRUPT as error:
        message = f"the sheet {entry.filename} cannot be unpacked: {error}"
        raise UserError("excel.corrupt", message, place=Place(file=source)) from error
    if unpacked_bytes != entry.file_size or checksum != entry.CRC:
        message = f"the sheet {entry.filename} is not what its checksum says"
        raise UserError("excel.corrupt", message, place=Place(file=source))


def _inflated(path: Path, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise OSError(f"it is compressed by method {entry.compress_type}")
    unpacker = isal_zlib.decompressobj(-15) if entry.compress_type == zipfile.ZIP_DEFLATED else None
    with path.open("rb") as stream:
        stream.seek(entry.header_offset)
        name_bytes, extra_bytes = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
        stream.seek(name_bytes + extra_bytes, 1)
        left = entry.compress_size
        while left > 0 and (stored := stream.read(min(left, _CHUNK_BYTES))):
            left -= len(stored)
            while unpacker is not None and stored and not unpacker.eof:
                yield unpacker.decompress(stored, _CHUNK_BYTES)
                stored = unpacker.unconsumed_tail
            if unpacker is None:
                yield stored
    if unpacker is not None:
        yield unpacker.flush()


def _head_rows(xml: bytes) -> Iterator[HeadRow]:
    number = -1
    closed = texts = truths = 0
    for tag, content in _inside(xml, b"row"):
        given = dict(_attributes(tag)).get("r", "")
        number = int(given) - 1 if given.isascii() and given.isdigit() and len(given) < 9 else number + 1
        if content is None:
            continue
        closed += 1
        if closed > _HEAD_ELEMENTS:
            return
        cells: dict[int, HeadCell] = {}
        for column, type_, cell in _head_cells(content):
            texts += type_ in _TEXT_TYPES
            truths += type_ == "b"
            if cell is not None:
                cells[column] = cell
        if cells:
            yield HeadRow(number, cells, closed, texts, truths)


def _head_cells(xml: bytes) -> Iterator[tuple[int, str, HeadCell | None]]:
    column = -1
    for tag, content in _inside(xml, b"c"):
        attributes = dict(_attributes(tag))
        reference = _REFERENCE.fullmatch(attributes.get("r", ""))
        column = _column_number(reference[1]) if reference else column + 1
        type_ = attributes.get("t", "n")
        value = next(_inside(content, b"v"), None) if content else None
        cell = None
        if type_ in _TEXT_TYPES and content and _HOLDS_VALUE.search(content):
            cell = HeadCell("text", None)
        elif value is not None and value[1]:
            cell = HeadCell("number" if type_ == "n" else "other", value[1].decode("utf-8", "replace"))
        yield column, type_, cell


def _inside(xml: bytes, name: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The attributes and contents of elements; None for one written as empty. Linear, however the XML is broken."""
    start, close = b"<" + name, b"</" + name + b">"
    at = xml.find(start)
    while at >= 0:
        end = xml.find(b">", at)
        if end < 0:
            return
        tag = xml[at + len(start) : end]
        at = end
        if not tag or tag[:1] in b" \t\r\n/":
            if tag.endswith(b"/"):
                yield tag, None
            else:
                at = xml.find(close, end)
                if at < 0:
                    return
                yield tag, xml[end + 1 : at]
        at = xml.find(start, at)


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _merge(found: re.Match[bytes]) -> Merge:
    return Merge(int(found[2]) - 1, _column_number(found[1].decode()), int(found[4]) - 1, _column_number(found[3].decode()))

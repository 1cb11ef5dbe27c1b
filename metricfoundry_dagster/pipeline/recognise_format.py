"""Tells by a few bytes what a file is, cheaply enough for the gate of intake.

Put here what the first and last bytes decide: format, compression, and the refusal of what is no table at all.
How the file is read in detail (dialect, header, types) belongs to staging.
"""

import json
import struct
import zlib
from collections.abc import Mapping

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.recipes import Compression, Format
from metricfoundry_dagster.pipeline.find_encoding import find_encoding
from metricfoundry_dagster.pipeline.recognise_workbook import is_workbook

#: How much of a file's beginning the callers should pass; more does no harm, less makes the answer less sure.
HEAD_BYTES = 256 * 1024
#: How much of a file's end is needed.
TAIL_BYTES = 8

GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
SQLITE_MAGIC = b"SQLite format 3\x00"
UTF8_BOM = b"\xef\xbb\xbf"

_ENCRYPTED_PARQUET = b"PARE"
_TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".psv", ".json", ".jsonl", ".ndjson")
_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_BLANK_BYTES = b" \t\r\n\x0b\x0c"
#: Control bytes that no table of text holds. One or two may be dirt; more than this share makes a file binary.
_CONTROL_BYTES = bytes(set(range(0x20)) - set(b"\t\n\r\x0b\x0c\x1b")) + b"\x7f"
_DIRT_BYTES = 2
_BINARY_SHARE = 0.02
_LINES_TRIED = 10
#: So near to the end of a beginning, a fault of JSON is only that it ends there.
_CUT_CHARS = 12
_OTHER_FORMATS: Mapping[bytes, str] = {
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"%PDF-": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x7fELF": "a program",
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
}
_MARKUP = (b"<?xml", b"<!doctype", b"<html")


def recognise_format(head: bytes, tail: bytes, filename: str, size_bytes: int) -> tuple[Format, Compression]:
    """What the file is, by its content; the name only decides between JSON and text, and words the errors.

    `head` is the first `HEAD_BYTES` of the file or all of it, `tail` the last `TAIL_BYTES`, `size_bytes` its size
    as stored. Passing does not mean that the rest can be read.

    Raises:
        UserError: `file.empty`, `file.binary_content`, `file.unknown_format`, `csv.undecodable`, `gzip.truncated`,
            `gzip.corrupt`, `parquet.broken_footer`, `parquet.corrupt` or `parquet.unsupported`.
    """
    place = Place(file=filename)
    if size_bytes == 0 or not head:
        raise UserError("file.empty", "the file has 0 bytes", place=place)
    if not head.startswith(GZIP_MAGIC):
        return _recognise_plain(head, tail, filename, size_bytes), "none"
    inside, complete = unpack_head(head, filename, whole=len(head) >= size_bytes)
    if complete and not inside:
        raise UserError("file.empty", "the gzip stream unpacks to 0 bytes", place=place)
    if inside.startswith(GZIP_MAGIC):
        raise UserError("file.unknown_format", "the gzip stream holds another gzip stream", place=place, hint="Compress it once.")
    if inside.startswith(PARQUET_MAGIC):
        return "parquet", "gzip"  # its footer shows only when all of it is unpacked
    return _recognise_plain(inside, b"", filename, len(inside) if complete else None), "gzip"


def unpack_head(head: bytes, filename: str, *, whole: bool) -> tuple[bytes, bool]:
    """The beginning of what a gzip stream holds, at most `HEAD_BYTES`, and whether that is all of it.

    `whole` says that `head` is the whole file, so that nothing may be missing.

    Raises:
        UserError: `gzip.corrupt`, or `gzip.truncated` when the whole file unpacks to nothing and does not end.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        inside = unpacker.decompress(head, HEAD_BYTES)
    except zlib.error as error:
        raise UserError("gzip.corrupt", f"the gzip stream cannot be unpacked: {error}", place=Place(file=filename)) from error
    if not inside and not unpacker.eof and whole:
        raise UserError("gzip.truncated", f"the gzip stream ends after {len(head)} bytes", place=Place(file=filename))
    return inside, unpacker.eof and not unpacker.unused_data


def require_parquet_ends(head: bytes, tail: bytes, filename: str, size_bytes: int) -> None:
    """Refuse a Parquet file whose footer cannot be where it must be.

    Raises:
        UserError: `parquet.broken_footer`, or `parquet.unsupported` when it is encrypted.
    """
    place = Place(file=filename)
    if tail[-4:] == _ENCRYPTED_PARQUET or head.startswith(_ENCRYPTED_PARQUET):
        raise UserError("parquet.unsupported", "the Parquet file is encrypted", place=place, hint="Write it without encryption.")
    if size_bytes < 12 or tail[-4:] != PARQUET_MAGIC:
        raise UserError("parquet.broken_footer", "the file begins as Parquet but does not end as Parquet", place=place)
    (footer_bytes,) = struct.unpack("<I", tail[-8:-4])
    if footer_bytes == 0 or footer_bytes + 12 > size_bytes:
        raise UserError(
            "parquet.broken_footer", f"the footer claims {footer_bytes} bytes in a file of {size_bytes} bytes", place=place
        )


def _recognise_plain(head: bytes, tail: bytes, filename: str, size_bytes: int | None) -> Format:
    """`size_bytes` is None when it is unknown and larger than `head`."""
    if head.startswith((PARQUET_MAGIC, _ENCRYPTED_PARQUET)):
        require_parquet_ends(head, tail, filename, len(head) if size_bytes is None else size_bytes)
        return "parquet"
    if head.startswith(SQLITE_MAGIC):
        return "sqlite"  # an encrypted one does not begin so, and is refused as binary
    if is_workbook(head):
        return "excel"
    _refuse_other_formats(head, filename)
    text = _text_of(head, complete=size_bytes is not None and size_bytes <= len(head))
    if _is_binary(text):
        raise _refusal("the file holds control bytes that no text has", filename)
    text = text.strip(_BLANK_BYTES)
    if not text and size_bytes is not None and size_bytes <= len(head):
        raise UserError("file.empty", "the file holds only blanks", place=Place(file=filename))
    if text[:16].lower().startswith(_MARKUP):
        raise UserError(
            "file.unknown_format",
            "the file is a web page or XML",
            place=Place(file=filename),
            hint="Download the data itself, as CSV.",
        )
    return _recognise_json(text, filename, complete=size_bytes is not None and size_bytes <= len(head)) or "csv"


def _refuse_other_formats(head: bytes, filename: str) -> None:
    for magic, what in _OTHER_FORMATS.items():
        if head.startswith(magic) and (not magic.isalnum() or _is_binary(head)):
            raise _refusal(f"the file is {what}", filename)


def _text_of(head: bytes, *, complete: bool) -> bytes:
    """Text in an encoding of more than a byte a character as UTF-8; the bytes themselves of all others, which agree on ASCII."""
    encoding = find_encoding(head, complete=complete).name
    if encoding.startswith(("utf-16", "utf-32")):
        return head.decode(encoding, "replace").removeprefix("\ufeff").encode()
    return head.removeprefix(UTF8_BOM)


def _refusal(message: str, filename: str) -> UserError:
    name, place = _plain_name(filename), Place(file=filename)
    if name.endswith(".parquet"):
        return UserError("parquet.corrupt", f"{message}, not Parquet", place=place)
    return UserError("file.binary_content" if name.endswith(_TEXT_SUFFIXES) else "file.unknown_format", message, place=place)


def _is_binary(head: bytes) -> bool:
    controls = len(head) - len(head.translate(None, _CONTROL_BYTES))
    return controls > max(_DIRT_BYTES, _BINARY_SHARE * len(head))


def _recognise_json(text: bytes, filename: str, *, complete: bool) -> Format | None:
    """Whether the text is a JSON document or lines of JSON; the name decides only where the text leaves it open."""
    name = _plain_name(filename)
    by_name: Format | None = "json" if name.endswith(".json") else "jsonl" if name.endswith(_JSON_SUFFIXES) else None
    if not text.startswith((b"{", b"[")):
        return by_name
    beginning = text.decode("latin-1")  # brackets and quotes are ASCII
    try:
        _value, end = json.JSONDecoder().raw_decode(beginning)
    except json.JSONDecodeError as error:
        is_cut = error.msg.startswith("Unterminated string") or len(beginning) - error.pos <= _CUT_CHARS
        lines = text.split(b"\n", _LINES_TRIED)[:_LINES_TRIED] if text.startswith(b"{") else []
        if by_name == "jsonl" or any(_is_object(line) for line in lines):
            return "jsonl"
        return "json" if by_name == "json" or (is_cut and not complete) or text.startswith((b'{"', b"[{")) else None
    except (RecursionError, ValueError):  # too deep, or a number of too many digits
        return by_name or "json"
    rest = beginning[end:]
    if not rest.strip():
        return "jsonl" if by_name == "jsonl" else "json"
    is_line = rest.lstrip(" \t\r").startswith("\n")
    if text.startswith(b"{"):
        return "jsonl" if is_line else by_name or "json"
    return "jsonl" if is_line and by_name else by_name


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _plain_name(filename: str) -> str:
    return filename.lower().removesuffix(".gz")

"""Tells by its bytes whether a file is a workbook: a ZIP archive with certain parts, or an old Office file (`.xls`)."""

from collections.abc import Iterator

#: The beginning of an old Office file, and of an encrypted new one.
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_ZIP_MAGIC = b"PK\x03\x04"
_NAME_LENGTH_AT, _NAME_AT = 26, 30
_SPREADSHEET = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"
_PACKAGE_PARTS = (b"[Content_Types].xml", b"_rels/", b"docProps/")


def is_workbook(head: bytes) -> bool:
    """Whether this is the beginning of a workbook. Of old Office files it is not said which they are."""
    if head.startswith(OLE_MAGIC):
        return True
    if not head.startswith(_ZIP_MAGIC):
        return False
    if head[_NAME_AT:].startswith(_SPREADSHEET):
        return True
    names = list(_member_names(head))
    return names[0].startswith(b"xl/") or (
        any(name.startswith(b"xl/") for name in names) and any(name.startswith(_PACKAGE_PARTS) for name in names)
    )


def _member_names(head: bytes) -> Iterator[bytes]:
    at = 0
    while at >= 0:
        length = int.from_bytes(head[at + _NAME_LENGTH_AT : at + _NAME_LENGTH_AT + 2], "little")
        yield head[at + _NAME_AT : at + _NAME_AT + length]
        at = head.find(_ZIP_MAGIC, at + 4)

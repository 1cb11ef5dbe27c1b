"""Writes small workbooks by hand, so that tests say exactly which cells a sheet has and how they are written."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
#: Number formats by the number of their style: general, day, moment, time of day, duration, percent.
_FORMATS = (0, 14, 22, 21, 46, 10)
_DAY_ZERO_1900, _DAY_ZERO_1904 = datetime.fromisoformat("1899-12-30"), datetime.fromisoformat("1904-01-01")


@dataclass(frozen=True)
class Raw:
    """A cell as it stands in the XML: its attributes and its content."""

    attributes: str
    content: str


def error_cell(text: str) -> Raw:
    """A cell in which a formula failed."""
    return Raw('t="e"', f"<v>{text}</v>")


def workbook(
    sheets: Mapping[str, Any],
    *,
    states: Mapping[str, str] | None = None,
    merges: Sequence[str] = (),
    since_1904: bool = False,
    shared: bool = False,
) -> bytes:
    """An `.xlsx` file: rows by the names of their sheets.

    A row that is None is not written; `shared` puts texts into a part of their own, as Excel does.
    """
    texts: dict[str, int] | None = {} if shared else None
    days = _DAY_ZERO_1904 if since_1904 else _DAY_ZERO_1900
    parts = {f"xl/worksheets/sheet{n}.xml": sheet_xml(rows, merges, days, texts) for n, rows in enumerate(sheets.values(), 1)}
    if texts is not None:
        items = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in texts)
        parts["xl/sharedStrings.xml"] = f'<sst xmlns="{_MAIN}">{items}</sst>'
    states = states or {}
    entries = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="r{n}" state="{states.get(name, "visible")}"/>'
        for n, name in enumerate(sheets, 1)
    )
    settings = '<workbookPr date1904="1"/>' if since_1904 else ""
    book = f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">{settings}<sheets>{entries}</sheets></workbook>'
    targets = [("worksheet", f"worksheets/sheet{n}.xml", f"r{n}") for n in range(1, len(sheets) + 1)]
    targets += [("styles", "styles.xml", "rs"), ("sharedStrings", "sharedStrings.xml", "rt")][: 2 if shared else 1]
    formats = "".join(f'<xf numFmtId="{number}"/>' for number in _FORMATS)
    return package(
        {
            **parts,
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": _relations(targets),
            "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="{len(_FORMATS)}">{formats}</cellXfs></styleSheet>',
        }
    )


def package(parts: Mapping[str, str | bytes]) -> bytes:
    """The ZIP archive around the parts."""
    sink = io.BytesIO()
    sheet_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
    types = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{sheet_type}"/></Types>'
    )
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("_rels/.rels", _relations([("officeDocument", "xl/workbook.xml", "r1")]))
        for name, content in parts.items():
            archive.writestr(name, content)
    return sink.getvalue()


def with_sheet(content: bytes, xml: bytes) -> bytes:
    """The workbook with other XML for its first sheet."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist() if name.startswith("xl/")}
    return package(parts | {"xl/worksheets/sheet1.xml": xml})


def sheet_xml(
    rows: Sequence[Any],
    merges: Sequence[str] = (),
    days: datetime = _DAY_ZERO_1900,
    texts: dict[str, int] | None = None,
) -> str:
    """The XML of a sheet."""
    body = "".join(
        f'<row r="{number}">' + "".join(_cell(column, number, value, days, texts) for column, value in enumerate(row)) + "</row>"
        for number, row in enumerate(rows, 1)
        if row is not None
    )
    joined = "".join(f'<mergeCell ref="{merge}"/>' for merge in merges)
    ends = f"<mergeCells>{joined}</mergeCells>" if merges else ""
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData>{ends}</worksheet>'


def ods(rows_xml: str) -> bytes:
    """An `.ods` file with one sheet of these rows."""
    names = "".join(f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text"))
    content = (
        f"<office:document-content{names}><office:body><office:spreadsheet>"
        f'<table:table table:name="S">{rows_xml}</table:table></office:spreadsheet></office:body></office:document-content>'
    )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)
    return sink.getvalue()


def _relations(targets: Sequence[tuple[str, str, str]]) -> str:
    inside = "".join(f'<Relationship Id="{id_}" Type="{_OFFICE}/{kind}" Target="{target}"/>' for kind, target, id_ in targets)
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{inside}</Relationships>'


def _cell(column: int, row: int, value: Any, days: datetime, texts: dict[str, int] | None) -> str:
    if value is None:
        return ""
    raw = value if isinstance(value, Raw) else _raw(value, days, texts)
    return f'<c r="{_letters(column)}{row}" {raw.attributes}>{raw.content}</c>'


def _raw(value: Any, days: datetime, texts: dict[str, int] | None) -> Raw:
    if isinstance(value, bool):
        return Raw('t="b"', f"<v>{int(value)}</v>")
    if isinstance(value, int | float):
        return Raw("", f"<v>{value!r}</v>")
    if isinstance(value, datetime):
        return Raw('s="2"', f"<v>{(value - days) / timedelta(days=1)!r}</v>")
    if isinstance(value, date):
        return Raw('s="1"', f"<v>{(datetime.combine(value, time()) - days).days}</v>")
    if isinstance(value, time):
        return Raw('s="3"', f"<v>{(datetime.combine(days, value) - days) / timedelta(days=1)!r}</v>")
    if isinstance(value, timedelta):
        return Raw('s="4"', f"<v>{value / timedelta(days=1)!r}</v>")
    if texts is not None:
        return Raw('t="s"', f"<v>{texts.setdefault(value, len(texts))}</v>")
    return Raw('t="inlineStr"', f'<is><t xml:space="preserve">{escape(value)}</t></is>')


def _letters(column: int) -> str:
    letters, number = "", column + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters

"""Workbooks are told from other ZIP archives by what lies in them."""

import io
import zipfile

import pytest

from metricfoundry_dagster.pipeline.recognise_format import recognise_format
from metricfoundry_dagster.pipeline.recognise_workbook import OLE_MAGIC, is_workbook
from metricfoundry_dagster_tests.pipeline.staging.workbook_bytes import ods, workbook


def archive(*names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as opened:
        for name in names:
            opened.writestr(name, "content")
    return sink.getvalue()


@pytest.mark.parametrize("content", [workbook({"S": [[1]]}), ods(""), OLE_MAGIC + bytes(504), archive("xl/workbook.xml")])
def test_workbooks_are_known_whatever_their_name(content: bytes) -> None:
    assert recognise_format(content, content[-8:], "data.csv", len(content)) == ("excel", "none")


@pytest.mark.parametrize(
    "content",
    [
        archive("a.csv"),
        archive("[Content_Types].xml", "word/document.xml"),
        archive("a.csv", "xl/b.csv"),
        b"PK\x03\x04",
        b"",
        b"a,b\n",
    ],
)
def test_other_files_are_no_workbooks(content: bytes) -> None:
    assert not is_workbook(content)

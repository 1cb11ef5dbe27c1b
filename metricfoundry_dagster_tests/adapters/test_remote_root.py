"""What a remote root does beyond the port: failures without secrets, and keys that S3 would read otherwise."""

import socket
import traceback
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.errors import UserError, WorldError
from metricfoundry_dagster.domain.products import Root


@pytest.fixture
def nobody() -> S3Options:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return S3Options(f"http://127.0.0.1:{port}/canary-path", "canary-key", "canary-secret", "us-east-1")


def test_a_store_that_does_not_answer_is_the_worlds_fault_and_no_secret_is_told(nobody: S3Options, tmp_path: Path) -> None:
    store = FsspecStore({Root.UPLOADS: "s3://bucket/uploads"}, s3=nobody, scratch_dir=tmp_path)
    with pytest.raises(WorldError) as caught:
        store.stat(Root.UPLOADS, "a.csv")
    assert caught.value.code == "store.unreachable"
    assert "s3://bucket/uploads/a.csv" in caught.value.record.message
    assert "canary" not in "".join(traceback.format_exception(caught.value)) + repr(nobody)


def test_a_key_that_s3fs_takes_for_a_version_is_refused(nobody: S3Options) -> None:
    store = FsspecStore({Root.UPLOADS: "s3://bucket"}, s3=nobody)
    with pytest.raises(UserError, match=r"name\.invalid"):
        store.stat(Root.UPLOADS, "a.csv?versionId=1")


def test_any_other_file_system_of_fsspec_can_be_a_root(tmp_path: Path) -> None:
    store = FsspecStore({Root.REPORTS: "memory://some/reports"}, scratch_dir=tmp_path)
    with store.create(Root.REPORTS, "d/report.html") as path:
        path.write_bytes(b"<p>")
    assert [(info.key, info.uri) for info in store.list(Root.REPORTS, "d")] == [
        ("d/report.html", "memory://some/reports/d/report.html")
    ]
    assert store.read_bytes(Root.REPORTS, "d/report.html") == b"<p>"
    store.delete(Root.REPORTS, "d/report.html")
    assert store.stat(Root.REPORTS, "d/report.html") is None

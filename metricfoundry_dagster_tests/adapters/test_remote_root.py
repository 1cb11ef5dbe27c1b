"""What a remote root does beyond the port: failures without secrets, and keys that S3 would read otherwise."""

import socket
import traceback
from pathlib import Path

import fsspec
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


@pytest.mark.parametrize(
    ("key", "seen"), [("datasets/d/manifest/1/raw_object.json", b"ours"), ("datasets/d/manifest/raw_object.json", b"theirs")]
)
def test_what_was_written_is_not_asked_for_when_nobody_can_have_changed_it(tmp_path: Path, key: str, seen: bytes) -> None:
    store = FsspecStore({Root.ARTIFACTS: f"memory://{tmp_path.name}"}, scratch_dir=tmp_path)
    store.write_bytes(Root.ARTIFACTS, key, b"ours")
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/{key}", b"theirs")
    assert store.read_bytes(Root.ARTIFACTS, key) == seen


def test_a_file_that_was_put_in_can_be_read_without_the_store(tmp_path: Path) -> None:
    store = FsspecStore({Root.ARTIFACTS: f"memory://{tmp_path.name}"}, scratch_dir=tmp_path)
    with store.create(Root.ARTIFACTS, "datasets/d/1/part.parquet") as path:
        path.write_bytes(b"rows")
    fsspec.filesystem("memory").rm_file(f"/{tmp_path.name}/datasets/d/1/part.parquet")
    with store.local(Root.ARTIFACTS, "datasets/d/1/part.parquet") as copy:
        assert copy.read_bytes() == b"rows"
    store.delete(Root.ARTIFACTS, "datasets/d/1/part.parquet")
    with pytest.raises(WorldError, match="object_missing"), store.local(Root.ARTIFACTS, "datasets/d/1/part.parquet"):
        pass

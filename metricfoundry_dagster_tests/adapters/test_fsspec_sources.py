"""What sources do beyond the port: local addresses of every spelling, folders that may be read, strange schemes."""

import os
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.fsspec_sources import FsspecSources
from metricfoundry_dagster.domain.errors import UserError


def code_of(sources: FsspecSources, uri: str) -> str:
    with pytest.raises(UserError) as caught:
        sources.stat(uri)
    with pytest.raises(UserError), sources.open(uri):
        pass
    return caught.value.code


def test_a_path_and_its_uri_name_the_same_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "süß & 100% #1.csv"
    file.write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    sources = FsspecSources()
    spellings = [
        str(file),
        file.as_uri(),
        file.name,
        f"./{file.name}",
        f"sub/../{file.name}",
        "file://localhost" + file.as_uri()[7:],
    ]
    (tmp_path / "sub").mkdir()
    found = {sources.stat(spelling) for spelling in spellings}
    assert [(info.uri, info.key) for info in found] == [(file.as_uri(), file.name)]


def test_links_among_folders_are_resolved_and_a_linked_file_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "2024.csv").write_bytes(b"1")
    (tmp_path / "real" / "latest.csv").symlink_to("2024.csv")
    (tmp_path / "linked").symlink_to("real")
    info = FsspecSources().stat(str(tmp_path / "linked" / "latest.csv"))
    assert (info.uri, info.key) == ((tmp_path / "real" / "latest.csv").as_uri(), "latest.csv")
    assert info.etag == FsspecSources().stat(str(tmp_path / "real" / "2024.csv")).etag


def test_only_files_below_the_given_folders_are_read_after_links_are_resolved(tmp_path: Path) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "allowed but longer"
    for folder in (allowed, outside):
        folder.mkdir()
        (folder / "x.csv").write_bytes(b"1")
    (allowed / "link.csv").symlink_to(outside / "x.csv")
    (outside / "back.csv").symlink_to(allowed / "x.csv")
    sources = FsspecSources(source_roots=[str(allowed)])
    assert sources.stat(str(allowed / "x.csv")).size_bytes == 1
    assert sources.stat(str(outside / "back.csv")).size_bytes == 1
    for refused in (outside / "x.csv", allowed / "link.csv", allowed / ".." / outside.name / "x.csv"):
        assert code_of(sources, str(refused)) == "source.not_allowed"
    assert code_of(sources, "file:///etc/passwd") == "source.not_allowed"
    assert code_of(FsspecSources(source_roots=[]), str(allowed / "x.csv")) == "source.not_allowed"


def test_a_bucket_outside_of_the_roots_is_not_asked() -> None:
    """Our keys may open more than a request may see."""
    sources = FsspecSources(source_roots=["s3://ours/in", "/srv"])
    for uri in ("s3://theirs/x.csv", "s3://ours/inner/x.csv", "s3://ours/in"):
        assert code_of(sources, uri) == "source.not_allowed"


def test_what_is_no_regular_file_is_not_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    for address in (
        tmp_path,
        tmp_path / "nothing",
        tmp_path / "pipe",
        tmp_path / "circle",
        "/dev/zero",
        "a\x00b",
        "x" * 5_000,
        "",
    ):
        assert code_of(FsspecSources(), str(address)) == "source.not_found"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/x",
        "local:///etc/passwd",
        "zip://x::file:///etc/passwd",
        "simplecache::file:///etc/passwd",
        "reference://x",
        "://x",
    ],
)
def test_schemes_that_could_reach_anything_are_not_read(uri: str) -> None:
    assert code_of(FsspecSources(), uri) == "source.not_allowed"

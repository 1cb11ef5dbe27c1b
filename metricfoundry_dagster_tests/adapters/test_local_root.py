"""What a local directory as a root does beyond the port: links, temporary files, many files, times and inodes."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.errors import UserError, WorldError
from metricfoundry_dagster.domain.products import Root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> FsspecStore:
    return FsspecStore({Root.UPLOADS: str(root)})


def keys(store: FsspecStore) -> list[str]:
    return [info.key for info in store.list(Root.UPLOADS, "")]


def etag(store: FsspecStore, key: str) -> str:
    info = store.stat(Root.UPLOADS, key)
    assert info is not None
    return info.etag


def test_local_gives_the_file_itself(store: FsspecStore, root: Path) -> None:
    (root / "a.csv").write_bytes(b"1")
    with store.local(Root.UPLOADS, "a.csv") as path:
        assert path == root / "a.csv"
    assert (root / "a.csv").exists()


def test_a_root_may_be_a_file_uri_and_its_directory_is_made_by_the_first_write(tmp_path: Path) -> None:
    folder = tmp_path / "ünder way"
    store = FsspecStore({Root.UPLOADS: folder.as_uri()})
    assert keys(store) == []
    store.write_bytes(Root.UPLOADS, "a b.csv", b"1")
    assert (folder / "a b.csv").read_bytes() == b"1"
    assert store.uri(Root.UPLOADS, "a b.csv") == (folder / "a b.csv").as_uri()


def test_everything_a_person_drops_is_listed_and_nothing_that_is_being_written(store: FsspecStore, root: Path) -> None:
    for name in (".hidden", "x.part", "x.tmp", "x~", "x.csv"):
        (root / name).write_bytes(b"")
    with store.create(Root.UPLOADS, "own.csv") as path:
        path.write_bytes(b"1")
        assert keys(store) == [".hidden", "x.csv", "x.part", "x.tmp", "x~"]
    assert keys(store)[1] == "own.csv"


def test_every_change_of_a_file_changes_its_etag(store: FsspecStore, root: Path) -> None:
    file, other = root / "a.csv", root / "b.csv"
    file.write_bytes(b"1")
    seen = [etag(store, "a.csv")]
    os.utime(file, ns=(0, 1))
    seen.append(etag(store, "a.csv"))
    file.write_bytes(b"12")
    os.utime(file, ns=(0, 1))
    seen.append(etag(store, "a.csv"))
    shutil.copy2(file, other)
    other.replace(file)  # the same bytes and times in another inode
    seen.append(etag(store, "a.csv"))
    assert len(set(seen)) == 4


def test_times_before_1970_and_to_the_microsecond_are_told(store: FsspecStore, root: Path) -> None:
    (root / "a.csv").write_bytes(b"1")
    os.utime(root / "a.csv", ns=(0, -1_000))
    info = store.stat(Root.UPLOADS, "a.csv")
    assert info is not None
    assert info.modified_at.isoformat() == "1969-12-31T23:59:59.999999+00:00"


def test_links_that_lead_out_are_neither_listed_nor_read(store: FsspecStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(b"s")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to(root / "nothing")
    (root / "circle").symlink_to(root)
    (root / "real").write_bytes(b"1")
    (root / "inside").symlink_to(root / "real")
    assert keys(store) == ["inside", "real"]
    for key in ("link", "folder/x"):
        with pytest.raises(UserError, match="leads out of the store"):
            store.read_bytes(Root.UPLOADS, key)
        with pytest.raises(UserError, match="leads out of the store"):
            store.local(Root.UPLOADS, key).__enter__()
    with pytest.raises(UserError, match="leads out of the store"):
        list(store.list(Root.UPLOADS, "folder/"))
    with pytest.raises(UserError, match="leads out of the store"), store.create(Root.UPLOADS, "folder/new"):
        pass


def test_pipes_and_folders_are_no_objects(store: FsspecStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    assert keys(store) == []
    assert store.stat(Root.UPLOADS, "pipe") is None


def test_many_files_in_many_folders_are_listed_in_order(store: FsspecStore, root: Path) -> None:
    for folder in range(10):
        (root / str(folder)).mkdir()
        for number in range(100):
            os.mknod(root / str(folder) / f"{number}.csv", stat.S_IFREG | 0o600)
    found = keys(store)
    assert len(found) == 1_000
    assert found == sorted(found)


def test_a_name_in_no_encoding_has_an_address_that_finds_it(store: FsspecStore, root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.csv")).write_bytes(b"1")
    [info] = store.list(Root.UPLOADS, "")
    assert info.uri == root.as_uri() + "/caf%E9.csv"
    assert store.read_bytes(Root.UPLOADS, info.key) == b"1"


def test_a_place_that_cannot_be_written_is_the_worlds_fault(store: FsspecStore, root: Path) -> None:
    (root / "file").write_bytes(b"")
    with pytest.raises(WorldError) as caught:
        store.write_bytes(Root.UPLOADS, "file/below", b"1")
    assert caught.value.code == "store.unreachable"
    assert keys(store) == ["file"]


def test_what_cannot_be_read_is_told_and_passed_over(store: FsspecStore, root: Path) -> None:
    """A folder deeper than any path may be long, and links in a circle: neither hides the others."""
    for name in ("a.csv", "z.csv"):
        (root / name).write_bytes(b"1")
    (root / "one").symlink_to(root / "two")
    (root / "two").symlink_to(root / "one")
    _make_too_deep(root / "deep")
    with pytest.raises(WorldError, match=r"store\.unreachable"):
        keys(store)
    told: list[WorldError] = []
    listing = store.browse(Root.UPLOADS, "", told.append)
    assert [info.key for info in listing.page("", 100).objects] == ["a.csv", "z.csv"]
    places = sorted((error.record.place.file or "").removeprefix(root.as_uri()).split("/")[1] for error in told)
    assert places == ["deep", "one", "two"]
    assert {error.code for error in told} == {"store.unreachable"}


def _make_too_deep(top: Path) -> None:
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=folder)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)

"""What every object store does, fake and real alike."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricfoundry_dagster.domain.errors import InternalError, UserError, WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster_tests.port_contracts.stores.world import World

KEYS = [
    "plain.csv",
    "a folder/München — 2026 #1 100%.csv",
    "deep/er/and/deeper/x.parquet",
    "日本/データ.csv",
    ".hidden",
    "x.part",
    "it's+a&b=c?.csv",
]
BAD_KEYS = [
    "",
    "/etc/passwd",
    "../x",
    "a/../x",
    "a/..",
    ".",
    "a//b",
    "a/",
    "a\x00b",
    "..\\x",
    "a\\b",
    "a\nb",
    "x" * 256,
    "ab/" * 400 + "x",
    ".mf-tmp/x",
]


@pytest.mark.parametrize("key", KEYS)
def test_written_bytes_are_read_by_every_way(store: ObjectStore, key: str) -> None:
    with store.create(Root.ARTIFACTS, key) as path:
        path.write_bytes(b"one\ntwo\n")
    assert store.read_bytes(Root.ARTIFACTS, key) == b"one\ntwo\n"
    with store.local(Root.ARTIFACTS, key) as path, path.open("rb") as stream:
        stream.seek(4)
        assert stream.read() == b"two\n"
    info = store.stat(Root.ARTIFACTS, key)
    assert info is not None
    assert (info.key, info.uri, info.size_bytes) == (key, store.uri(Root.ARTIFACTS, key), 8)
    assert info.modified_at.utcoffset() is not None
    assert [found.key for found in store.list(Root.ARTIFACTS, "")] == [key]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=5_000))
def test_any_bytes_come_back_as_they_were(store: ObjectStore, data: bytes) -> None:
    with store.create(Root.UPLOADS, "through/create") as path:
        path.write_bytes(data)
    store.write_bytes(Root.UPLOADS, "through/write_bytes", data)
    for key in ("through/create", "through/write_bytes"):
        assert store.read_bytes(Root.UPLOADS, key) == data
        with store.local(Root.UPLOADS, key) as path:
            assert path.read_bytes() == data


def test_an_object_of_many_blocks_comes_back_whole(store: ObjectStore) -> None:
    data = bytes(range(256)) * 80_000
    with store.create(Root.UPLOADS, "large") as path:
        path.write_bytes(data)
    with store.local(Root.UPLOADS, "large") as path:
        assert path.read_bytes() == data


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_leaves_its_root_or_fits_no_store_is_refused_everywhere(store: ObjectStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.create(Root.UPLOADS, key).__enter__(),
        lambda: store.local(Root.UPLOADS, key).__enter__(),
        lambda: store.write_bytes(Root.UPLOADS, key, b""),
        lambda: store.read_bytes(Root.UPLOADS, key),
        lambda: store.stat(Root.UPLOADS, key),
        lambda: store.delete(Root.UPLOADS, key),
        lambda: store.uri(Root.UPLOADS, key),
    ]
    for call in calls:
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.code == "name.invalid"


@pytest.mark.parametrize("prefix", ["../", "a/../b/", "/etc", "a//b/"])
def test_a_prefix_that_leaves_its_root_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(UserError, match=r"name\.invalid"):
        list(store.list(Root.UPLOADS, prefix))


def test_an_object_is_not_there_before_its_writer_leaves(store: ObjectStore) -> None:
    with store.create(Root.ARTIFACTS, "t/part") as path:
        path.write_bytes(b"half")
        assert store.stat(Root.ARTIFACTS, "t/part") is None
        assert list(store.list(Root.ARTIFACTS, "")) == []
    assert store.stat(Root.ARTIFACTS, "t/part") is not None


def test_a_writer_that_fails_leaves_nothing_behind(world: World) -> None:
    def fail() -> None:
        with world.store.create(Root.ARTIFACTS, "t/part") as path:
            path.write_bytes(b"half")
            raise ValueError("stop here")

    with pytest.raises(ValueError, match="stop here"):
        fail()
    assert list(world.store.list(Root.ARTIFACTS, "")) == []
    assert not world.scratch_dir.exists() or list(world.scratch_dir.iterdir()) == []


def test_a_writer_that_writes_nothing_is_told_so(store: ObjectStore) -> None:
    with pytest.raises(InternalError, match="nothing was written"), store.create(Root.ARTIFACTS, "t/part"):
        pass


def test_a_failed_rewrite_keeps_the_object_that_was_there(store: ObjectStore) -> None:
    store.write_bytes(Root.ARTIFACTS, "manifest.json", b"first")

    def fail() -> None:
        with store.create(Root.ARTIFACTS, "manifest.json") as path:
            path.write_bytes(b"second")
            raise ValueError("stop here")

    with pytest.raises(ValueError, match="stop here"):
        fail()
    assert store.read_bytes(Root.ARTIFACTS, "manifest.json") == b"first"


def test_a_reader_meets_the_old_bytes_or_the_new_never_a_mixture(store: ObjectStore) -> None:
    whole = {b"a" * 50_000, b"b" * 70_000}
    store.write_bytes(Root.ARTIFACTS, "k", b"a" * 50_000)

    def rewrite(data: bytes) -> None:
        for _ in range(10):
            store.write_bytes(Root.ARTIFACTS, "k", data)

    writers = [threading.Thread(target=rewrite, args=(data,)) for data in sorted(whole)]
    for writer in writers:
        writer.start()
    seen = {store.read_bytes(Root.ARTIFACTS, "k") for _ in range(10)}
    for writer in writers:
        writer.join()
    assert seen <= whole


def test_the_etag_changes_with_the_bytes_and_is_the_same_in_a_listing(store: ObjectStore) -> None:
    store.write_bytes(Root.UPLOADS, "incoming/x/a.csv", b"1")
    first = store.stat(Root.UPLOADS, "incoming/x/a.csv")
    [listed] = store.list(Root.UPLOADS, "incoming/")
    store.write_bytes(Root.UPLOADS, "incoming/x/a.csv", b"2")
    second = store.stat(Root.UPLOADS, "incoming/x/a.csv")
    assert first is not None
    assert second is not None
    assert (listed.etag, listed.uri) == (first.etag, first.uri)
    assert second.etag != first.etag


def test_a_listing_is_sorted_and_holds_what_is_below_the_folder_only(store: ObjectStore) -> None:
    for key in ("staged/1/b", "staged/10/a", "staged/1/a/z", "staged/1/é", "other"):
        store.write_bytes(Root.ARTIFACTS, key, b"")
    below_one = ["staged/1/a/z", "staged/1/b", "staged/1/é"]
    assert [info.key for info in store.list(Root.ARTIFACTS, "staged/1/")] == below_one
    assert [info.key for info in store.list(Root.ARTIFACTS, "staged/1")] == below_one
    assert [info.key for info in store.list(Root.ARTIFACTS, "")] == [
        "other",
        "staged/1/a/z",
        "staged/1/b",
        "staged/1/é",
        "staged/10/a",
    ]
    assert list(store.list(Root.ARTIFACTS, "nothing/here/")) == []
    assert list(store.list(Root.UPLOADS, "")) == []


def test_a_missing_object_is_none_to_look_at_and_an_error_to_read(store: ObjectStore) -> None:
    assert store.stat(Root.REPORTS, "a/b") is None
    for read in (lambda: store.read_bytes(Root.REPORTS, "a/b"), lambda: store.local(Root.REPORTS, "a/b").__enter__()):
        with pytest.raises(WorldError) as caught:
            read()
        assert caught.value.code == "store.object_missing"


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.write_bytes(Root.REPORTS, "folder/x", b"")
    assert store.stat(Root.REPORTS, "folder") is None


def test_deleting_twice_is_as_good_as_once(store: ObjectStore) -> None:
    store.write_bytes(Root.REPORTS, "r/x", b"")
    store.delete(Root.REPORTS, "r/x")
    store.delete(Root.REPORTS, "r/x")
    store.delete(Root.REPORTS, "never/was")
    assert store.stat(Root.REPORTS, "r/x") is None


def test_a_written_path_keeps_the_ending_of_its_key(store: ObjectStore) -> None:
    with store.create(Root.ARTIFACTS, "t/part-00000.parquet") as path:
        path.write_bytes(b"")
        assert path.name == "part-00000.parquet"
        assert path.is_absolute()
    with store.local(Root.ARTIFACTS, "t/part-00000.parquet") as path:
        assert isinstance(path, Path)
        assert path.suffix == ".parquet"

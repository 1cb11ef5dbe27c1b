"""The cache of served files fetches once, never hands out half a file, and keeps to its size."""

import os
import time
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.adapters.served_file_cache import ServedFileCache
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.products import ProductFile, Root
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore


def put(store: MemoryStore, key: str, data: bytes) -> ProductFile:
    store.write_bytes(Root.ARTIFACTS, key, data)
    return ProductFile(Root.ARTIFACTS, key, "part", "t", None, len(data))


def test_a_remote_file_is_fetched_once(tmp_path: Path) -> None:
    store = MemoryStore()
    file = put(store, "a", b"12345")
    cache = ServedFileCache(store, tmp_path, max_bytes=100, keep_seconds=0)
    path = cache.path_of(file)
    store.delete(Root.ARTIFACTS, "a")
    assert cache.path_of(file) == path
    assert path.read_bytes() == b"12345"
    assert list(tmp_path.iterdir()) == [path]


def test_a_local_file_is_not_copied(tmp_path: Path) -> None:
    store = FsspecStore({Root.ARTIFACTS: str(tmp_path / "store")})
    store.write_bytes(Root.ARTIFACTS, "a", b"1")
    cache = ServedFileCache(store, tmp_path / "cache", max_bytes=0, keep_seconds=0)
    assert cache.path_of(ProductFile(Root.ARTIFACTS, "a", "part", "t", None, 1)) == tmp_path / "store" / "a"
    assert not (tmp_path / "cache").exists()


def test_a_copy_of_another_size_is_fetched_again(tmp_path: Path) -> None:
    store = MemoryStore()
    file = put(store, "a", b"12345")
    cache = ServedFileCache(store, tmp_path, max_bytes=100, keep_seconds=0)
    cache.path_of(file).write_bytes(b"12")
    assert cache.path_of(file).read_bytes() == b"12345"


def test_the_copies_that_were_not_asked_for_longest_go_first_and_fresh_ones_stay(tmp_path: Path) -> None:
    store = MemoryStore()
    files = [put(store, name, b"x" * 40) for name in "abcd"]
    cache = ServedFileCache(store, tmp_path, max_bytes=100, keep_seconds=1_000)
    paths = [cache.path_of(file) for file in files[:3]]
    assert all(path.exists() for path in paths)
    for age_seconds, path in ((4_000, paths[1]), (3_000, paths[0]), (2_000, paths[2])):
        os.utime(path, (time.time() - age_seconds,) * 2)
    newest = cache.path_of(files[3])
    assert [path.exists() for path in (*paths, newest)] == [False, False, True, True]


def test_leavings_of_a_crash_are_swept_after_a_day_and_not_before(tmp_path: Path) -> None:
    old, young = tmp_path / "old.writing", tmp_path / "young.writing"
    for path, age_seconds in ((old, 100_000), (young, 1_000)):
        path.write_bytes(b"")
        os.utime(path, (time.time() - age_seconds,) * 2)
    store = MemoryStore()
    ServedFileCache(store, tmp_path, max_bytes=100, keep_seconds=0).path_of(put(store, "a", b"1"))
    assert (old.exists(), young.exists()) == (False, True)


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    file = put(store, "a", b"1")
    store.away = True
    with pytest.raises(WorldError, match=r"store\.unreachable"):
        ServedFileCache(store, tmp_path, max_bytes=100, keep_seconds=0).path_of(file)
    assert list(tmp_path.iterdir()) == []

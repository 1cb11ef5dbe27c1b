"""Local paths of served files that outlast a query: the files themselves, or copies of remote ones in a bounded cache."""

import hashlib
import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

from metricfoundry_dagster.domain.products import ProductFile
from metricfoundry_dagster.ports.object_store import ObjectStore

_SUFFIX = ".parquet"
_TEMPORARY_SUFFIX = ".writing"
_ABANDONED_SECONDS = 24 * 3600
#: Looking through the folder costs a look at each file in it, so it is not done for every file.
_LOOKS_PER_FILL = 100


class ServedFileCache:
    """Any number of processes may share `folder`: copies are moved in whole, and files never change.

    A copy that was not asked for longest goes first when there is more than `max_bytes`, but none that was asked
    for in the last `keep_seconds`: a statement of this or another process may still read it.
    """

    def __init__(self, store: ObjectStore, folder: Path, *, max_bytes: int, keep_seconds: float) -> None:
        self._store = store
        self._folder = folder
        self._max_bytes = max_bytes
        self._keep_seconds = keep_seconds
        #: Since the last look for what is to go; a new process looks at its first fetch.
        self._fetched_bytes = max_bytes

    def path_of(self, file: ProductFile) -> Path:
        """A local path with the file's bytes. Raises WorldError as `ObjectStore.local`."""
        uri = self._store.uri(file.root, file.key)
        if uri.startswith("file://"):
            with self._store.local(file.root, file.key) as path:
                return path
        name = hashlib.sha256(f"{uri}\n{file.size_bytes}".encode()).hexdigest()
        copy = self._folder / f"{name}{_SUFFIX}"
        if not _mark_used(copy, file.size_bytes):
            self._fetch(file, copy)
            self._fetched_bytes += file.size_bytes
            if self._fetched_bytes * _LOOKS_PER_FILL >= self._max_bytes:
                self._fetched_bytes = 0
                self._evict()
        return copy

    def _fetch(self, file: ProductFile, copy: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        writing = copy.with_name(f"{uuid.uuid4().hex}{_TEMPORARY_SUFFIX}")
        try:
            with self._store.local(file.root, file.key) as path:
                shutil.copyfile(path, writing)
            writing.replace(copy)
        finally:
            writing.unlink(missing_ok=True)

    def _evict(self) -> None:
        now = time.time()
        total_bytes = 0
        for used_at, size_bytes, path in sorted(_entries(self._folder), reverse=True):
            total_bytes += size_bytes
            age_seconds = now - used_at
            too_much = path.suffix == _SUFFIX and total_bytes > self._max_bytes and age_seconds > self._keep_seconds
            if too_much or (path.suffix == _TEMPORARY_SUFFIX and age_seconds > _ABANDONED_SECONDS):
                path.unlink(missing_ok=True)


def _mark_used(copy: Path, size_bytes: int) -> bool:
    """Note that the copy is in use; False when there is none, or another size."""
    try:
        os.utime(copy)
        return copy.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def _entries(folder: Path) -> list[tuple[float, int, Path]]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process evicts as well
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, path))
    return found

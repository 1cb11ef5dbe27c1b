"""One root of the object store on a local directory. Keys come in checked; the store in `fsspec_store` does that."""

import os
import shutil
import stat as stat_bits
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metricfoundry_dagster.adapters.file_addresses import describe_local, local_uri, world_errors
from metricfoundry_dagster.adapters.local_listing import LocalListing
from metricfoundry_dagster.adapters.object_keys import TEMPORARY_FOLDER
from metricfoundry_dagster.domain.errors import InternalError, UserError, WorldError
from metricfoundry_dagster.ports.object_store import Listing, ObjectInfo


class LocalRoot:
    """Objects are files below `base`. Writing goes to a folder of its own, which no listing shows, and is moved in."""

    def __init__(self, base: Path) -> None:
        self._base = base.resolve()

    @contextmanager
    def create(self, key: str) -> Iterator[Path]:
        """As the port says; the file and its folder are on the disk before the object can be seen."""
        target = self._inside(key)
        folder = self._base / TEMPORARY_FOLDER / uuid.uuid4().hex
        written = folder / target.name
        with world_errors(self.uri(key)):
            folder.mkdir(parents=True)
        try:
            yield written
            if not written.is_file():
                raise InternalError("unexpected", f"nothing was written for {key}")
            with world_errors(self.uri(key)):
                _move_in(written, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """The file itself."""
        path = self._inside(key)
        if self.stat(key) is None:
            raise WorldError("store.object_missing", f"there is no object at {self.uri(key)}")
        yield path

    def write_bytes(self, key: str, data: bytes) -> None:
        """As the port says."""
        with self.create(key) as path:
            path.write_bytes(data)

    def read_bytes(self, key: str) -> bytes:
        """As the port says."""
        path = self._inside(key)
        with world_errors(self.uri(key)):
            return path.read_bytes()

    def stat(self, key: str) -> ObjectInfo | None:
        """As the port says; a folder is no object."""
        path = self._inside(key)
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise WorldError("store.unreachable", f"{self.uri(key)}: {error.strerror}") from error
        return describe_local(key, path, found) if stat_bits.S_ISREG(found.st_mode) else None

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        """Regular files below a folder, which ends in a slash or is empty. Links to folders are not followed."""
        self._inside(folder.rstrip("/"))
        yield from LocalListing(self._base, folder).page("", sys.maxsize - 1).objects

    def browse(self, folder: str, unreadable: Callable[[WorldError], object]) -> Listing:
        """As the port says."""
        self._inside(folder.rstrip("/"))
        return LocalListing(self._base, folder, unreadable)

    def delete(self, key: str) -> None:
        """As the port says; folders stay."""
        path = self._inside(key)
        with world_errors(self.uri(key)), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def uri(self, key: str) -> str:
        """The `file://` URI."""
        return local_uri(self._base / key)

    def _inside(self, key: str) -> Path:
        path = self._base / key
        if not Path(os.path.realpath(path)).is_relative_to(self._base):
            raise UserError("name.invalid", f"{key!r} leads out of the store over a link")
        return path


def _move_in(written: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    _flush(written)
    written.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""One root of the object store on anything that fsspec reaches, S3 first of all. Keys come in checked."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metricfoundry_dagster.adapters.file_addresses import describe_remote, scheme_of, world_errors
from metricfoundry_dagster.adapters.s3_listing import S3Listing
from metricfoundry_dagster.adapters.s3_system import s3_system
from metricfoundry_dagster.adapters.small_copies import SmallCopies
from metricfoundry_dagster.adapters.whole_listing import WholeListing
from metricfoundry_dagster.domain.errors import InternalError, UserError, WorldError
from metricfoundry_dagster.ports.object_store import Listing, ObjectInfo

_BLOCK_BYTES = 8 * 1024**2
_KEPT_BYTES = 32 * 1024**2
_KEPT_OBJECT_BYTES = 256 * 1024
_BLOCKS_AT_ONCE = 4  # bounds memory: s3fs holds this many blocks of one object


class RemoteRoot:
    """Objects below `address`. Files go through `scratch_dir`: whole ones up, whole ones down."""

    def __init__(self, address: str, options: Mapping[str, Any], scratch_dir: Path | None) -> None:
        self._scheme = scheme_of(address)
        self._base = address.partition("://")[2].strip("/")
        self._options = dict(options)
        self._scratch_dir = scratch_dir
        self._small = SmallCopies(max_bytes=_KEPT_BYTES, max_object_bytes=_KEPT_OBJECT_BYTES)

    @contextmanager
    def create(self, key: str) -> Iterator[Path]:
        """As the port says; the object appears with the last byte of the upload."""
        path = self._path(key)
        self._small.forget(key)
        with self._scratch(key) as written:
            yield written
            if not written.is_file():
                raise InternalError("unexpected", f"nothing was written for {key}")
            with world_errors(self.uri(key)):
                self._system().put_file(str(written), path, **self._blocks())
            if self._small.is_kept(key, written.stat().st_size):
                self._small.keep(key, written.read_bytes())

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """A copy, removed on leaving. A copy that was cut short is never handed out."""
        kept = self._small.get(key)
        if kept is not None:
            with self._scratch(key) as copy:
                copy.write_bytes(kept)
                yield copy
            return
        info = self.stat(key)
        if info is None:
            raise WorldError("store.object_missing", f"there is no object at {self.uri(key)}")
        with self._scratch(key) as copy:
            with world_errors(info.uri):
                self._system().get_file(self._path(key), str(copy), **self._blocks())
                if copy.stat().st_size != info.size_bytes:
                    raise WorldError("store.unreachable", f"{info.uri} was cut while it was read")
                if self._small.is_kept(key, info.size_bytes):
                    self._small.keep(key, copy.read_bytes())
            yield copy

    def write_bytes(self, key: str, data: bytes) -> None:
        """As the port says."""
        path = self._path(key)
        self._small.forget(key)
        with world_errors(self.uri(key)):
            self._system().pipe_file(path, data)
        if self._small.is_kept(key, len(data)):
            self._small.keep(key, data)

    def read_bytes(self, key: str) -> bytes:
        """As the port says."""
        kept = self._small.get(key)
        if kept is not None:
            return kept
        path = self._path(key)
        with world_errors(self.uri(key)):
            data: bytes = self._system().cat_file(path)
        if self._small.is_kept(key, len(data)):
            self._small.keep(key, data)
        return data

    def stat(self, key: str) -> ObjectInfo | None:
        """As the port says; a folder is no object."""
        path = self._path(key)
        with world_errors(self.uri(key)):
            try:
                info = self._system().info(path)
            except FileNotFoundError:
                return None
        return describe_remote(key, self.uri(key), info) if info["type"] == "file" else None

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        """Objects below a folder, which ends in a slash or is empty; markers of folders are left out."""
        start = self._path(folder)
        with world_errors(self.uri(folder)):
            found: dict[str, dict[str, Any]] = self._system().find(start, detail=True)
        names = {name.lstrip("/"): info for name, info in found.items()}
        for name in sorted(names):
            if name.startswith(start) and not name.endswith("/") and names[name]["type"] == "file":
                key = name.removeprefix(self._path(""))
                yield describe_remote(key, self.uri(key), names[name])

    def browse(self, folder: str) -> Listing:
        """As the port says; what is no S3 is listed as a whole for it."""
        if self._scheme == "s3":
            return S3Listing(self._options, self._base, folder)
        return WholeListing(self.list(folder), folder)

    def delete(self, key: str) -> None:
        """As the port says."""
        path = self._path(key)
        self._small.forget(key)
        with world_errors(self.uri(key)):
            try:
                self._system().rm_file(path)
            except FileNotFoundError:
                return

    def uri(self, key: str) -> str:
        """The address with the key as it is, not percent-encoded."""
        return f"{self._scheme}://{self._base}/{key}"

    def _path(self, key: str) -> str:
        if "?versionId=" in key:
            raise UserError("name.invalid", f"{key!r} reads like a version of another key")
        return f"{self._base}/{key}"

    def _system(self) -> Any:
        # asked for each time: fsspec keeps one instance per process and thread, which forks must not share
        if self._scheme == "s3":
            return s3_system(self._options)
        import fsspec  # costs a tenth of a second, and a local store never needs it

        return fsspec.filesystem(self._scheme, **self._options)

    def _blocks(self) -> dict[str, int]:
        return {"chunksize": _BLOCK_BYTES, "max_concurrency": _BLOCKS_AT_ONCE} if self._scheme == "s3" else {}

    @contextmanager
    def _scratch(self, key: str) -> Iterator[Path]:
        with world_errors(self.uri(key)):
            if self._scratch_dir:
                self._scratch_dir.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(prefix="mf-", dir=self._scratch_dir, ignore_cleanup_errors=True)
        with folder as name:
            yield Path(name, key.rpartition("/")[2])

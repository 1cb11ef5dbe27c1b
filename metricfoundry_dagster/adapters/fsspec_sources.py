"""Sources on local paths and on S3 and its like: what a person may name as the place of a file."""

import io
import os
import stat as stat_bits
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from metricfoundry_dagster.adapters.file_addresses import (
    S3Options,
    describe_local,
    describe_remote,
    kind_of,
    local_path,
    local_uri,
    scheme_of,
    world_errors,
)
from metricfoundry_dagster.adapters.s3_system import s3_system
from metricfoundry_dagster.domain.errors import Place, UserError, WorldError
from metricfoundry_dagster.ports.object_store import ObjectInfo

_BLOCK_BYTES = 8 * 1024**2
#: Schemes that name an object store. fsspec knows more, some of which reach local files or any host.
REMOTE_SCHEMES = frozenset({"s3", "gs", "abfs", "memory"})


class FsspecSources:
    """Implements `ports.sources.Sources`.

    With `source_roots`, directories and URLs, only what lies below one of them may be read, local files after every
    link is resolved; None allows all that the process may read.
    """

    def __init__(self, *, s3: S3Options | None = None, source_roots: Sequence[str] | None = None) -> None:
        self._s3 = s3 or S3Options()
        self._is_restricted = source_roots is not None
        roots = source_roots or ()
        self._local_roots = [local_path(root).resolve() for root in roots if scheme_of(root) == "file"]
        self._remote_roots = [_remote_uri(root).rstrip("/") + "/" for root in roots if scheme_of(root) != "file"]

    def stat(self, uri: str) -> ObjectInfo:
        """As the port says. The URI given back is absolute, with links among its folders resolved."""
        if scheme_of(uri) == "file":
            path, descriptor = self._open_local(uri)
            with os.fdopen(descriptor, "rb"):
                return describe_local(_shown_name(path), path, os.fstat(descriptor))
        info = self._remote_info(uri)
        return describe_remote(uri.rpartition("/")[2], _remote_uri(uri), info)

    def uri_of(self, uri: str) -> str:
        """As the port says."""
        if scheme_of(uri) != "file":
            return _remote_uri(uri)
        try:
            return local_uri(local_path(uri))
        except (OSError, ValueError, RuntimeError):
            raise UserError("source.not_found", f"{uri!r} is not a path", place=Place(file=uri)) from None

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        """As the port says. An object that is overwritten while it is read raises UserError `source.changed`."""
        if scheme_of(uri) == "file":
            _, descriptor = self._open_local(uri)
            with os.fdopen(descriptor, "rb") as stream:
                yield stream
            return
        self._remote_info(uri)
        with world_errors(uri):
            remote = self._system(uri).open(_remote_path(uri), "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
        with remote, io.BufferedReader(_RemoteStream(remote, uri), _BLOCK_BYTES) as stream:
            yield cast(BinaryIO, stream)

    def _open_local(self, uri: str) -> tuple[Path, int]:
        """Open a regular file and nothing else: a pipe would block, and what was checked is what is read."""
        try:
            path = local_path(uri)
            real_path = path.resolve(strict=True)
            is_below_root = any(real_path.is_relative_to(root) for root in self._local_roots)
            self._require_allowed(uri, is_below_root=is_below_root)
            descriptor = os.open(real_path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
            reason = getattr(error, "strerror", None) or "not a path"
            raise UserError("source.not_found", f"{uri!r} cannot be read: {reason}", place=Place(file=uri)) from None
        if not stat_bits.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UserError("source.not_found", f"{uri!r} is not a regular file", place=Place(file=uri))
        return path, descriptor

    def _require_allowed(self, uri: str, *, is_below_root: bool) -> None:
        if self._is_restricted and not is_below_root:
            raise UserError("source.not_allowed", f"{uri!r} lies outside of what may be read", place=Place(file=uri))

    def _remote_info(self, uri: str) -> dict[str, Any]:
        self._require_allowed(uri, is_below_root=_remote_uri(uri).startswith(tuple(self._remote_roots)))
        try:
            with world_errors(uri):
                info: dict[str, Any] = self._system(uri).info(_remote_path(uri))
        except WorldError as error:
            if error.code != "store.object_missing":
                raise
            raise UserError("source.not_found", f"there is nothing at {uri!r}", place=Place(file=uri)) from None
        if info["type"] != "file":
            raise UserError("source.not_found", f"{uri!r} is a folder, not a file", place=Place(file=uri))
        return info

    def _system(self, uri: str) -> Any:
        scheme = scheme_of(uri)
        if scheme not in REMOTE_SCHEMES:
            hint = "Give a local path, or a URI of " + ", ".join(f"{name}://" for name in sorted(REMOTE_SCHEMES)) + "."
            raise UserError("source.not_allowed", f"{scheme}:// is not read", place=Place(file=uri), hint=hint)
        if scheme == "s3":
            return s3_system(self._s3.for_fsspec())
        import fsspec  # costs a tenth of a second, and local files never need it

        return fsspec.filesystem(scheme)


class _RemoteStream(io.RawIOBase):
    """Reads a remote file and speaks of failures in the words of the ports."""

    def __init__(self, remote: BinaryIO, uri: str) -> None:
        self._remote = remote
        self._uri = uri

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._remote.read(len(buffer))
        except Exception as error:  # noqa: BLE001 - the libraries below fsspec share no base class
            if type(error).__name__ == "FileExpired":
                raise UserError("source.changed", f"{self._uri!r} was overwritten while it was read") from None
            raise WorldError("store.unreachable", f"{self._uri!r} could not be read further: {kind_of(error)}") from None
        buffer[: len(data)] = data
        return len(data)


def _remote_path(uri: str) -> str:
    return uri.partition("://")[2]


def _remote_uri(uri: str) -> str:
    return f"{scheme_of(uri)}://{_remote_path(uri)}"


def _shown_name(path: Path) -> str:
    """The file's name; bytes that are no UTF-8 are shown as the replacement character."""
    return os.fsencode(path.name).decode("utf-8", "replace")

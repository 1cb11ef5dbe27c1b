"""The bytes of a file, unpacked while they are read, never more than a block at a time.

Compression and its bounds belong here, and so will the transcoding of other encodings to UTF-8. What the bytes
mean does not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from isal import igzip, isal_zlib

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Compression
from metricfoundry_dagster.pipeline.recognise_format import UTF8_BOM

#: How isal says that a stream is damaged.
_CORRUPT: tuple[Any, ...] = (igzip.BadGzipFile, isal_zlib.error)
_COPY_BYTES = 4 * 1024**2


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class UnpackedBytes:
    """One pass over a file's bytes, without a byte order mark. Use it in a `with` block."""

    def __init__(self, path: Path, compression: Compression, *, filename: str, limits: Limits) -> None:
        self._path, self._compression, self._filename = path, compression, filename
        self._max_bytes = limits.max_unpacked_bytes
        self._stored: BinaryIO = path.open("rb")
        self._stored_bytes = path.stat().st_size
        self._unpacked_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stored.close()

    @property
    def share(self) -> float:
        """The share of the stored bytes that has been read, in 0..1."""
        return self._stored.tell() / self._stored_bytes if self._stored_bytes else 1.0

    def chunks(self, size_bytes: int) -> Iterator[tuple[bytes, bool]]:
        """Chunks of `size_bytes`, each with whether it is the last; the last may be shorter, and alone may be empty.

        Raises:
            UserError: `gzip.truncated`, `gzip.corrupt` or `gzip.too_large`.
        """
        reader = self._reader()
        chunk = self._read(reader, max(size_bytes, len(UTF8_BOM))).removeprefix(UTF8_BOM)
        while True:
            following = self._read(reader, size_bytes)
            yield chunk, not following
            if not following:
                return
            chunk = following

    def _reader(self) -> _Reader:
        if self._compression == "none":
            return self._stored
        unpacked: _Reader = igzip.IGzipFile(fileobj=self._stored, mode="rb")  # type: ignore[no-untyped-call]  # isal leaves it untyped
        return unpacked

    def _read(self, reader: _Reader, size_bytes: int) -> bytes:
        place = Place(file=self._filename)
        try:
            chunk = reader.read(size_bytes)
        except EOFError as error:
            message = f"the gzip stream ends early, after {self._unpacked_bytes} unpacked bytes"
            raise UserError("gzip.truncated", message, place=place) from error
        except _CORRUPT as error:
            raise UserError("gzip.corrupt", f"the gzip stream cannot be unpacked: {error}", place=place) from error
        self._unpacked_bytes += len(chunk)
        if self._compression == "gzip" and self._unpacked_bytes > self._max_bytes:
            raise UserError("gzip.too_large", f"the gzip stream unpacks to more than {self._max_bytes} bytes", place=place)
        return chunk


@contextmanager
def unpacked_file(path: Path, compression: Compression, *, filename: str, limits: Limits, scratch: Path) -> Iterator[Path]:
    """A seekable file with the unpacked bytes: the file itself, or a copy in `scratch` that is removed on leaving.

    Raises as `UnpackedBytes.chunks`.
    """
    if compression == "none":
        yield path
        return
    copy = scratch / "unpacked"
    with UnpackedBytes(path, compression, filename=filename, limits=limits) as source, copy.open("wb") as sink:
        for chunk, _last in source.chunks(_COPY_BYTES):
            sink.write(chunk)
    try:
        yield copy
    finally:
        copy.unlink()

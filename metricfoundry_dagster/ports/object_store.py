"""The object store: three roots of immutable objects, on a local directory or on S3."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.products import Root


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object. `etag` changes whenever the bytes do; `uri` is its full address; times are UTC."""

    key: str
    uri: str
    etag: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Objects by ascending key. `end` is the key to go on after; None when nothing follows."""

    objects: tuple[ObjectInfo, ...]
    end: str | None


class Listing(Protocol):
    """What lies below a folder, read a page at a time from any key on. Keys are compared by code point.

    For one look: what was read of a local folder is not read again by the same listing, so that it grows old.
    """

    def page(self, after: str, limit: int, folder: str | None = None) -> Page:
        """At most `limit` objects whose keys come after `after`, which need not exist; `""` begins at the beginning.

        A page may be short, even empty, and still have an `end`. `folder`, which ends in a slash, narrows the listing.
        """

    def folders(self, limit: int) -> list[str]:
        """The folders right below, out of the first `limit` names there, each with its ending slash."""


class ObjectStore(Protocol):
    """Keys are relative to a root, use `/`, and hold neither `..` nor a leading slash.

    Every method raises WorldError `store.unreachable` when the store does not answer, and UserError
    `name.invalid` for a key that leaves its root. A missing object is WorldError `store.object_missing`.
    """

    def create(self, root: Root, key: str) -> AbstractContextManager[Path]:
        """Give a local path to write; on leaving without an exception it becomes the object, whole and at once.

        After an exception there is no object and nothing is left behind.
        """

    def local(self, root: Root, key: str) -> AbstractContextManager[Path]:
        """Give a local, seekable file with the object's bytes; it must not be written, and may vanish on leaving."""

    def write_bytes(self, root: Root, key: str, data: bytes) -> None:
        """Write a small object, whole and at once, over an earlier one if there is one."""

    def read_bytes(self, root: Root, key: str) -> bytes:
        """Read a small object."""

    def stat(self, root: Root, key: str) -> ObjectInfo | None:
        """Look at one object; None when there is none."""

    def list(self, root: Root, prefix: str) -> Iterator[ObjectInfo]:
        """Every object below a prefix, sorted by key."""

    def browse(self, root: Root, prefix: str, unreadable: Callable[[WorldError], object]) -> Listing:
        """What lies below a prefix, to be read by pages: what a page costs does not grow with what was read before.

        A folder or link below the prefix that may not be read is told to `unreadable` and passed over; its error's
        place is the address. That the prefix itself cannot be read is raised, here or by the page.
        """

    def delete(self, root: Root, key: str) -> None:
        """Remove an object; without effect when there is none."""

    def uri(self, root: Root, key: str) -> str:
        """The full address of a key, whether or not there is an object: `file:///…` or `s3://bucket/…`."""

"""Sources in a dictionary, and whatever a memory store holds, by its URI."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import ObjectInfo
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore


class MemorySources:
    """Implements `ports.sources.Sources`; `put` makes a source at any address."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    def put(self, filename: str, data: bytes) -> str:
        """Make a source and give its URI."""
        self._store.write_bytes(Root.UPLOADS, filename, data)
        return self._store.uri(Root.UPLOADS, filename)

    def stat(self, uri: str) -> ObjectInfo:
        root, _, key = uri.removeprefix("memory://").partition("/")
        found = self._store.stat(Root(root), key) if uri.startswith("memory://") and root in set(Root) and key else None
        if found is None:
            raise UserError("source.not_found", f"there is nothing at {uri!r}", place=Place(file=uri))
        return ObjectInfo(key.rpartition("/")[2], uri, found.etag, found.size_bytes, found.modified_at)

    def uri_of(self, uri: str) -> str:
        return uri

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        self.stat(uri)
        root, _, key = uri.removeprefix("memory://").partition("/")
        yield io.BytesIO(self._store.read_bytes(Root(root), key))

"""An object store in a dictionary. `local` and `create` still give real files, since stages hand paths to libraries."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from metricfoundry_dagster.adapters.object_keys import require_key, require_prefix
from metricfoundry_dagster.adapters.whole_listing import WholeListing
from metricfoundry_dagster.domain.errors import InternalError, WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import Listing, ObjectInfo


class MemoryStore:
    """Implements `ports.object_store.ObjectStore`. `away` makes every call fail as if there were no store."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Root, str], tuple[bytes, datetime]] = {}
        self.away = False

    @contextmanager
    def create(self, root: Root, key: str) -> Iterator[Path]:
        self._require_store(require_key(key))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, key.rpartition("/")[2])
            yield path
            if not path.is_file():
                raise InternalError("unexpected", f"nothing was written for {key}")
            self.write_bytes(root, key, path.read_bytes())

    @contextmanager
    def local(self, root: Root, key: str) -> Iterator[Path]:
        data = self.read_bytes(root, key)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, key.rpartition("/")[2])
            path.write_bytes(data)
            yield path

    def write_bytes(self, root: Root, key: str, data: bytes) -> None:
        self._require_store(require_key(key))
        self.objects[root, key] = (data, datetime.now(UTC))

    def read_bytes(self, root: Root, key: str) -> bytes:
        self._require_store(require_key(key))
        if (root, key) not in self.objects:
            raise WorldError("store.object_missing", f"there is no object at {self.uri(root, key)}")
        return self.objects[root, key][0]

    def stat(self, root: Root, key: str) -> ObjectInfo | None:
        self._require_store(require_key(key))
        if (root, key) not in self.objects:
            return None
        data, modified_at = self.objects[root, key]
        return ObjectInfo(key, self.uri(root, key), hashlib.sha256(data).hexdigest(), len(data), modified_at)

    def list(self, root: Root, prefix: str) -> Iterator[ObjectInfo]:
        folder = require_prefix(prefix)
        self._require_store(prefix)
        for key in sorted(key for of_root, key in self.objects if of_root == root and key.startswith(folder)):
            info = self.stat(root, key)
            if info:
                yield info

    def browse(self, root: Root, prefix: str, unreadable: Callable[[WorldError], object]) -> Listing:
        return WholeListing(self.list(root, prefix), require_prefix(prefix))

    def delete(self, root: Root, key: str) -> None:
        self._require_store(require_key(key))
        self.objects.pop((root, key), None)

    def uri(self, root: Root, key: str) -> str:
        return f"memory://{root}/{require_key(key)}"

    def _require_store(self, what: str) -> None:
        if self.away:
            raise WorldError("store.unreachable", f"the store failed at {what}")

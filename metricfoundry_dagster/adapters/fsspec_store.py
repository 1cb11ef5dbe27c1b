"""The object store on local directories and on every file system that fsspec reaches. Each root may be another kind.

Checks keys and sends each call to its root; how one root keeps objects is in `local_root` and `remote_root`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from metricfoundry_dagster.adapters.file_addresses import S3Options, local_path, scheme_of
from metricfoundry_dagster.adapters.local_root import LocalRoot
from metricfoundry_dagster.adapters.object_keys import require_key, require_prefix
from metricfoundry_dagster.adapters.remote_root import RemoteRoot
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import Listing, ObjectInfo


class FsspecStore:
    """Implements `ports.object_store.ObjectStore`.

    `roots` maps each root to a path, a `file://` URI or any fsspec URL such as `s3://bucket/prefix`. Nothing is
    connected to before the first use. `scratch_dir` holds copies of remote objects; None takes the system's own.
    """

    def __init__(self, roots: Mapping[Root, str], *, s3: S3Options | None = None, scratch_dir: Path | None = None) -> None:
        self._roots = {root: _open_root(address, s3 or S3Options(), scratch_dir) for root, address in roots.items()}

    def create(self, root: Root, key: str) -> AbstractContextManager[Path]:
        """As the port says."""
        return self._roots[root].create(require_key(key))

    def local(self, root: Root, key: str) -> AbstractContextManager[Path]:
        """As the port says."""
        return self._roots[root].local(require_key(key))

    def write_bytes(self, root: Root, key: str, data: bytes) -> None:
        """As the port says."""
        self._roots[root].write_bytes(require_key(key), data)

    def read_bytes(self, root: Root, key: str) -> bytes:
        """As the port says."""
        return self._roots[root].read_bytes(require_key(key))

    def stat(self, root: Root, key: str) -> ObjectInfo | None:
        """As the port says."""
        return self._roots[root].stat(require_key(key))

    def list(self, root: Root, prefix: str) -> Iterator[ObjectInfo]:
        """As the port says; a prefix names a folder, with or without its ending slash."""
        return self._roots[root].list(require_prefix(prefix))

    def browse(self, root: Root, prefix: str, unreadable: Callable[[WorldError], object]) -> Listing:
        """As the port says; a prefix names a folder, with or without its ending slash."""
        found, folder = self._roots[root], require_prefix(prefix)
        # A remote listing is one request: there is nothing to pass over.
        return found.browse(folder, unreadable) if isinstance(found, LocalRoot) else found.browse(folder)

    def delete(self, root: Root, key: str) -> None:
        """As the port says."""
        self._roots[root].delete(require_key(key))

    def uri(self, root: Root, key: str) -> str:
        """As the port says."""
        return self._roots[root].uri(require_key(key))


def _open_root(address: str, s3: S3Options, scratch_dir: Path | None) -> LocalRoot | RemoteRoot:
    scheme = scheme_of(address)
    if scheme == "file":
        return LocalRoot(local_path(address))
    return RemoteRoot(address, s3.for_fsspec() if scheme == "s3" else {}, scratch_dir)

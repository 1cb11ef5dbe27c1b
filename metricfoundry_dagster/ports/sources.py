"""Sources: where a dataset comes from before it is ours."""

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from metricfoundry_dagster.ports.object_store import ObjectInfo


class Sources(Protocol):
    """Reads any address that a person may give: a local path, `file://`, `s3://` and other fsspec schemes."""

    def stat(self, uri: str) -> ObjectInfo:
        """Look at a source; its `key` is the file's name.

        Raises:
            UserError: `source.not_found` when nothing is there, or it is a directory.
            WorldError: `store.unreachable` when its store does not answer.
        """

    def uri_of(self, uri: str) -> str:
        """The full address that `stat` gives a source, without asking whether anything is there.

        Raises UserError `source.not_found` for what cannot be an address.
        """

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Open it for one sequential read of its bytes. Raises as `stat` does."""

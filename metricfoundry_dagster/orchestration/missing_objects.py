"""Telling of products whose objects may be gone: a bucket may have been tidied or restored since they were made."""

from types import TracebackType

from metricfoundry_dagster.domain.errors import WorldError


class without_missing_objects:  # noqa: N801 - used as contextlib.suppress is
    """Leave the block when an object that it needs is gone, and go on behind it. Every other error is raised."""

    def __enter__(self) -> None:
        """Nothing is prepared."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> bool:
        """True, so that the error is swallowed, for a missing object alone."""
        return isinstance(error, WorldError) and error.code == "store.object_missing"

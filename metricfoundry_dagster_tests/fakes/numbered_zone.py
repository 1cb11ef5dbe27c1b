"""A drop zone with any number of old objects that exist by their number only, and a count of what is read of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.catalog import Sighting
from metricfoundry_dagster.ports.object_store import Listing, ObjectInfo, Page
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore

_OLD = "incoming/m/"
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def old_key(number: int) -> str:
    """Keys ascend with their number."""
    return f"{_OLD}{number:08}.csv"


class NumberedStore(MemoryStore):
    """Beside what is written to it, `old` objects lie in the folder `m` of the drop zone. Counts requests for listings."""

    def __init__(self, old: int) -> None:
        super().__init__()
        self.old = old
        self.requests = 0

    def browse(self, root: Root, prefix: str, unreadable: Callable[[WorldError], object]) -> Listing:
        return _NumberedListing(self, super().browse(root, prefix, unreadable))


class _NumberedListing:
    """Gives at most 1,000 objects at once, as S3 does."""

    def __init__(self, store: NumberedStore, written: Listing) -> None:
        self._store, self._written = store, written

    def page(self, after: str, limit: int, folder: str | None = None) -> Page:
        self._store.requests += 1
        limit = min(limit, 1_000)
        numbers = range(self._store.old)
        start = max(bisect_right(numbers, after, key=old_key), bisect_left(numbers, folder or "", key=old_key))
        old = (self._old(number) for number in numbers[start : start + limit + 1])
        written = self._written.page(after, limit + 1, folder).objects
        within = (info for info in old if info.key.startswith(folder or ""))
        found = list(merge(within, written, key=lambda info: info.key))[: limit + 1]
        return Page(tuple(found[:limit]), found[limit - 1].key if len(found) > limit else None)

    def folders(self, limit: int) -> list[str]:
        self._store.requests += 1
        return sorted({*self._written.folders(limit), _OLD})[:limit]

    def _old(self, number: int) -> ObjectInfo:
        key = old_key(number)
        return ObjectInfo(key, f"memory://uploads/{key}", str(number), 4, _LONG_AGO)


class CatalogOfOld(SqlCatalog):
    """A catalog that has registered every old object; counts how many objects it was asked about."""

    asked = 0

    def look(self, objects: Sequence[ObjectInfo], now: datetime, quiet: timedelta = timedelta(0)) -> Sighting:
        self.asked += len(objects)
        return super().look([info for info in objects if info.modified_at != _LONG_AGO], now, quiet)

"""A listing that was read as a whole, given by pages: for stores that can only be listed from beginning to end."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from metricfoundry_dagster.adapters.object_keys import end_of_folder
from metricfoundry_dagster.ports.object_store import ObjectInfo, Page


class WholeListing:
    """Implements `ports.object_store.Listing` over objects that are sorted by key, all below `prefix`."""

    def __init__(self, objects: Iterable[ObjectInfo], prefix: str) -> None:
        self._objects = list(objects)
        self._keys = [info.key for info in self._objects]
        self._prefix = prefix

    def page(self, after: str, limit: int, folder: str | None = None) -> Page:
        """As the port says."""
        start, stop = bisect_right(self._keys, after), len(self._keys)
        if folder is not None:
            start, stop = max(start, bisect_left(self._keys, folder)), bisect_left(self._keys, end_of_folder(folder))
        found = tuple(self._objects[start : min(stop, start + limit)])
        return Page(found, found[-1].key if found and start + limit < stop else None)

    def folders(self, limit: int) -> list[str]:
        """As the port says."""
        found: list[str] = []
        position = 0
        for _ in range(limit):
            if position >= len(self._keys):
                break
            head, slash, _ = self._keys[position].removeprefix(self._prefix).partition("/")
            if slash:
                found.append(f"{self._prefix}{head}/")
            position = bisect_left(self._keys, end_of_folder(found[-1])) if slash else position + 1
        return found

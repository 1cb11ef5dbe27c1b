"""Bytes of small remote objects that never change, kept in memory by the process that wrote or read them.

A small dataset's parts and manifests are read by several stages one after the other, and each look at a remote object
costs more than the look itself. Nothing is kept that may be overwritten: see `is_kept`.
"""

import threading
from collections import OrderedDict

#: Objects below it are written once, but for the manifest of a stage, that each attempt shows in its turn.
_WRITTEN_ONCE = "datasets/"
_SHOWN_IN_TURN = "manifest"


class SmallCopies:
    """Up to `max_bytes` in all; those that were asked for longest ago go first."""

    def __init__(self, *, max_bytes: int, max_object_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_object_bytes = max_object_bytes
        self._copies: OrderedDict[str, bytes] = OrderedDict()
        self._total_bytes = 0
        self._lock = threading.Lock()

    def is_kept(self, key: str, size_bytes: int) -> bool:
        """Whether an object is small and is never overwritten."""
        is_written_once = key.startswith(_WRITTEN_ONCE) and key.split("/")[-2] != _SHOWN_IN_TURN
        return is_written_once and size_bytes <= self._max_object_bytes

    def get(self, key: str) -> bytes | None:
        """The bytes, if they are kept."""
        with self._lock:
            if key in self._copies:
                self._copies.move_to_end(key)
            return self._copies.get(key)

    def keep(self, key: str, data: bytes) -> None:
        """Keep the bytes of an object that `is_kept`."""
        self.forget(key)
        with self._lock:
            self._copies[key] = data
            self._total_bytes += len(data)
            while self._total_bytes > self._max_bytes:
                self._total_bytes -= len(self._copies.popitem(last=False)[1])

    def forget(self, key: str) -> None:
        """The object is gone."""
        with self._lock:
            self._total_bytes -= len(self._copies.pop(key, b""))

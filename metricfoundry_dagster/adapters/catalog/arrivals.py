"""Objects seen in the drop zone, and which of them are complete and new."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Column, Connection, select

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser, in_chunks
from metricfoundry_dagster.adapters.catalog.schema import arrivals, datasets, source_digest
from metricfoundry_dagster.ports.object_store import ObjectInfo


class SqlArrivals(DatabaseUser):
    """The table holds what was seen and is not registered yet; registering takes it out."""

    def look(self, objects: Sequence[ObjectInfo], now: datetime) -> list[ObjectInfo]:
        """Note this look at the objects; give those that an earlier look saw alike and that nobody registered."""
        by_digest = {source_digest(info.uri, info.etag): info for info in objects}
        # Where nothing is new, which is nearly always, nobody has to wait for a writer.
        with self._database.reading() as connection:
            registered = _known(connection, datasets.c.source_digest, by_digest)
            seen = _known(connection, arrivals.c.source_digest, by_digest.keys() - registered)
        unseen = by_digest.keys() - registered - seen
        if unseen:
            rows = [_row(digest, by_digest[digest], now) for digest in sorted(unseen)]  # one order for all: no deadlock
            with self._database.writing() as connection:
                self._database.insert_new(connection, arrivals, rows)
        return [info for digest, info in by_digest.items() if digest in seen]


def _known(connection: Connection, column: Column[str], digests: "dict[str, ObjectInfo] | set[str]") -> set[str]:
    known: set[str] = set()
    for chunk in in_chunks(digests):
        known.update(connection.scalars(select(column).where(column.in_(chunk))))
    return known


def _row(digest: str, info: ObjectInfo, now: datetime) -> dict[str, object]:
    readable_uri = info.uri.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()
    return {"source_digest": digest, "source_uri": readable_uri, "first_seen_at": now}

"""Objects seen in the drop zone, and which of them are complete and new."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser, in_chunks
from metricfoundry_dagster.adapters.catalog.schema import arrivals, datasets, source_digest, uri_digest
from metricfoundry_dagster.ports.catalog import Sighting
from metricfoundry_dagster.ports.object_store import ObjectInfo


class SqlArrivals(DatabaseUser):
    """The table holds what was seen and is not registered yet; registering takes it out."""

    def look(self, objects: Sequence[ObjectInfo], now: datetime, quiet: timedelta = timedelta(0)) -> Sighting:
        """Note this look; complete are those that a look at least `quiet` ago saw alike."""
        by_digest = {source_digest(info.uri, info.etag): info for info in objects}
        # Where nothing is new, which is nearly always, nobody has to wait for a writer.
        with self._database.reading() as connection:
            registered = _registered(connection, by_digest)
            seen = _first_seen(connection, by_digest.keys() - registered)
        unseen = {digest: by_digest[digest] for digest in sorted(by_digest.keys() - registered - seen.keys())}
        if unseen:
            rows = [_row(digest, info, now) for digest, info in unseen.items()]  # sorted, for all alike: no deadlock
            with self._database.writing() as connection:
                self._database.insert_new(connection, arrivals, rows)
                _forget_earlier(connection, unseen)
        complete = {digest for digest, first_seen_at in seen.items() if first_seen_at <= now - quiet}
        waiting = [(digest in complete, info) for digest, info in by_digest.items() if digest not in registered]
        return Sighting([info for whole, info in waiting if whole], [info for whole, info in waiting if not whole])


def _registered(connection: Connection, digests: Collection[str]) -> set[str]:
    known: set[str] = set()
    for chunk in in_chunks(digests):
        known.update(connection.scalars(select(datasets.c.source_digest).where(datasets.c.source_digest.in_(chunk))))
    return known


def _first_seen(connection: Connection, digests: Collection[str]) -> dict[str, datetime]:
    wanted = select(arrivals.c.source_digest, arrivals.c.first_seen_at)
    seen: dict[str, datetime] = {}
    for chunk in in_chunks(digests):
        rows = connection.execute(wanted.where(arrivals.c.source_digest.in_(chunk)))
        seen.update((row.source_digest, row.first_seen_at) for row in rows)
    return seen


def _forget_earlier(connection: Connection, unseen: Mapping[str, ObjectInfo]) -> None:
    """Take out what was seen at the same addresses before it changed: a growing file leaves one row, not one per look."""
    wanted = select(arrivals.c.source_digest).order_by(arrivals.c.source_digest)
    for chunk in in_chunks({uri_digest(info.uri) for info in unseen.values()}):
        at_addresses = wanted.where(arrivals.c.uri_digest.in_(chunk)).with_for_update()
        earlier = [digest for digest in connection.scalars(at_addresses) if digest not in unseen]
        for part in in_chunks(earlier):
            connection.execute(delete(arrivals).where(arrivals.c.source_digest.in_(part)))


def _row(digest: str, info: ObjectInfo, now: datetime) -> dict[str, object]:
    readable_uri = info.uri.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()
    return {"source_digest": digest, "uri_digest": uri_digest(info.uri), "source_uri": readable_uri, "first_seen_at": now}

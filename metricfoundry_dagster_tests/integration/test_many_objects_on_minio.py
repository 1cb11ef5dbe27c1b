"""Ten thousand objects that wait in a bucket of a real S3 service, and how many requests looking at them takes."""

import io
import math
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.discover import Discovery, discover
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.object_store import Listing, Page
from metricfoundry_dagster_tests.embedded import embedded_ports
from metricfoundry_dagster_tests.servers.minio import Minio

MANY = 10_000
MAX_KEYS, MAX_REGISTRATIONS = 10_000, 2_000


class CountingListing:
    """A listing whose pages are counted by its store: a request each, and one or two more where a listing ends."""

    def __init__(self, listing: Listing, count: Callable[[], None]) -> None:
        self._listing, self._count = listing, count

    def page(self, after: str, limit: int, folder: str | None = None) -> Page:
        self._count()
        return self._listing.page(after, limit, folder)

    def folders(self, limit: int) -> list[str]:
        self._count()
        return self._listing.folders(limit)


class CountingStore(FsspecStore):
    """Counts requests for listings."""

    requests = 0

    def browse(self, root: Root, prefix: str, unreadable: Callable[[WorldError], object]) -> Listing:
        return CountingListing(super().browse(root, prefix, unreadable), self._add)

    def _add(self) -> None:
        self.requests += 1


@pytest.fixture
def bucket(minio: Minio) -> str:
    """A bucket into which one request put all objects: this service unpacks an archive for whoever asks it to."""
    name = minio.create_bucket()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(MANY):
            entry = tarfile.TarInfo(f"drop/incoming/ds{number % 10}/{number:05}.csv")
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"a\n1\n"))
    unpack = {"Snowball-Auto-Extract": "true"}
    minio.client().put_object(Bucket=name, Key="drop.tar", Body=archive.getvalue(), Metadata=unpack)
    return name


@pytest.fixture
def store(minio: Minio, bucket: str) -> CountingStore:
    """A store on the bucket."""
    return CountingStore({Root.UPLOADS: f"s3://{bucket}/drop"}, s3=minio.options)


@pytest.fixture
def ports(tmp_path: Path, store: CountingStore) -> Ports:
    """An embedded instance that watches the bucket."""
    return replace(embedded_ports(tmp_path), store=store)


@pytest.mark.servers
def test_ten_thousand_objects_are_registered_by_as_many_looks_as_that_takes_and_two(ports: Ports, store: CountingStore) -> None:
    """Each look asks a bounded number of times, and once all are known an idle one asks less."""
    cursor, registered, requests = "", 0, []
    for _ in range(math.ceil(MANY / MAX_REGISTRATIONS) + 2):
        found = look(ports, cursor)
        cursor, registered = found.cursor, registered + len(found.registered)
        requests.append(store.requests)
        store.requests = 0
    assert registered == MANY
    assert max(requests) <= MAX_KEYS / 1_000 + 32
    for _ in range(3):
        cursor = look(ports, cursor).cursor
    store.requests = 0
    idle = look(ports, cursor)
    assert (len(idle.registered), idle.read_keys) == (0, MAX_KEYS // 4)
    assert store.requests <= 3 + 1 + 16


def look(ports: Ports, cursor: str) -> Discovery:
    return discover(ports, max_registrations=MAX_REGISTRATIONS, quiet=timedelta(0), max_keys=MAX_KEYS, cursor=cursor)

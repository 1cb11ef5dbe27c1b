"""Engines on the session's Druid, each with a bucket and a catalog of its own, and names that no other test uses."""

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog, open_catalog
from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.adapters.druid_http import DruidAccess
from metricfoundry_dagster.adapters.druid_parts import DruidAddresses, DruidParts, DruidTimeouts, druid_parts
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.domain.served import QueryAnswer, Servable, Serving, Version
from metricfoundry_dagster.ports.serving_engine import ServingEngine
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.servers.druid import Druid
from metricfoundry_dagster_tests.servers.minio import Minio

TIMEOUTS = DruidTimeouts(task_seconds=120, load_seconds=60, query_seconds=30)


@contextmanager
def parts_on(druid: Druid, minio: Minio, folder: Path, *, overlord_url: str | None = None) -> Iterator[DruidParts]:
    """What an engine on this Druid is made of; `overlord_url` puts something between it and the Overlord."""
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.db'}")
    catalog.upgrade()
    yield parts_with(catalog, druid, minio, overlord_url=overlord_url)
    catalog.close()


def parts_with(catalog: SqlCatalog, druid: Druid, minio: Minio, *, overlord_url: str | None = None) -> DruidParts:
    """The same on a catalog that is there, with a new bucket."""
    bucket = minio.create_bucket()
    addresses = DruidAddresses(overlord_url or druid.overlord_url, druid.broker_url, druid.coordinator_url)
    store = FsspecStore({root: f"s3://{bucket}/{root}" for root in Root}, s3=minio.options)
    access = DruidAccess(patience_seconds=20)
    return druid_parts(addresses, access, TIMEOUTS, catalog=catalog, store=store, clock=FixedClock())


def unused_name(stem: str = "t") -> str:
    """A name of a datasource that no other test of any session uses."""
    return f"{stem}_{secrets.token_hex(4)}"


class RenamingEngine(ServingEngine):
    """Lets tests that share one Druid use the same plain names: each name has a suffix of this engine's in Druid."""

    def __init__(self, parts: DruidParts, names: Sequence[str]) -> None:
        self._engine = DruidEngine(parts)
        self._suffix = f"x{secrets.token_hex(4)}"
        self._names = re.compile(rf"\b({'|'.join(names)})(?=__|\b)")

    def serve_all(self, servables: Sequence[Servable]) -> list[Serving | MetricFoundryError]:
        outcomes = self._engine.serve_all([self._in(servable) for servable in servables])
        return [
            replace(outcome, servable=servable) if isinstance(outcome, Serving) else outcome
            for servable, outcome in zip(servables, outcomes, strict=True)
        ]

    def count_all(self, servings: Sequence[Serving]) -> list[dict[str, int]]:
        counts = self._engine.count_all([replace(serving, servable=self._in(serving.servable)) for serving in servings])
        return [{name.replace(self._suffix, ""): rows for name, rows in count.items()} for count in counts]

    def rollback(self, datasource: str) -> Version:
        return self._engine.rollback(datasource + self._suffix)

    def current(self, datasource: str) -> Version | None:
        return self._engine.current(datasource + self._suffix)

    def versions(self, datasource: str) -> list[Version]:
        return self._engine.versions(datasource + self._suffix)

    def query(self, sql: str, max_rows: int) -> QueryAnswer:
        return self._engine.query(self._names.sub(lambda found: found.group() + self._suffix, sql), max_rows)

    def _in(self, servable: Servable) -> Servable:
        tables = tuple(replace(table, name=self._names.sub(rf"\1{self._suffix}", table.name)) for table in servable.tables)
        return replace(servable, datasource=servable.datasource + self._suffix, tables=tables)

"""Engines on the session's Druid, with a catalog and a bucket for each test."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog, open_catalog
from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.adapters.druid_parts import DruidParts
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.domain.served import Servable
from metricfoundry_dagster_tests.adapters.druid.worlds import World
from metricfoundry_dagster_tests.port_contracts.engines.served import Served
from metricfoundry_dagster_tests.servers.druid import Druid
from metricfoundry_dagster_tests.servers.druid_serving import parts_on, unused_name
from metricfoundry_dagster_tests.servers.minio import Minio


@dataclass(frozen=True)
class OnDruid:
    """A datasource that no other test uses, and what an engine for it is made of."""

    parts: DruidParts
    name: str

    @property
    def engine(self) -> DruidEngine:
        """An engine, as of one process."""
        return DruidEngine(self.parts)

    def servable(self, sequence: int, *values: int, **wishes: Any) -> Servable:
        """A dataset with one column of numbers."""
        return self.of_tables(sequence, {"t": pa.table({"n": pa.array(values, pa.int64())})}, **wishes)

    def of_tables(self, sequence: int, tables: dict[str, pa.Table], **wishes: Any) -> Servable:
        """A dataset of any tables."""
        return Served(self.engine, self.parts.store).servable(tables, sequence=sequence, datasource=self.name, **wishes)

    def numbers(self) -> list[object]:
        """What readers see of the column."""
        return sorted((row[0] for row in self.engine.query(f"SELECT n FROM {self.name}", 10_000).rows), key=str)

    def rows(self, name: str | None = None) -> dict[str, int]:
        """What readers see of a table, by dataset; nothing of one that is not there."""
        from_table = f'FROM "{name or self.name}"'
        if not self.parts.segments.seen(name or self.name):
            return {}
        found = self.engine.query(f"SELECT _dataset_id, COUNT(*) {from_table} GROUP BY 1", 10_000).rows
        return {str(dataset_id): int(str(rows)) for dataset_id, rows in found}


@pytest.fixture
def on_druid(druid: Druid, minio: Minio, tmp_path: Path) -> Iterator[OnDruid]:
    """A fresh one."""
    with parts_on(druid, minio, tmp_path) as parts:
        yield OnDruid(parts, unused_name())


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[Callable[[], World]]:
    template = open_catalog(f"sqlite:///{tmp_path / 'template.db'}")
    template.upgrade()
    template.close()
    opened: list[SqlCatalog] = []

    def make() -> World:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        shutil.copy(tmp_path / "template.db", folder / "catalog.db")
        opened.append(open_catalog(f"sqlite:///{folder / 'catalog.db'}"))
        return World(opened[-1], FsspecStore({root: str(folder / root) for root in Root}))

    yield make
    for catalog in opened:
        catalog.close()

"""The engines on which the suites of this folder run: the fake, DuckDB over each kind of catalog and store, and Druid."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog
from metricfoundry_dagster.adapters.duckdb_engine import DuckDbEngine
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_engine import MemoryEngine
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.fakes.memory_versions import MemoryVersions
from metricfoundry_dagster_tests.port_contracts.engines.served import Served
from metricfoundry_dagster_tests.servers.druid_serving import RenamingEngine, parts_on

ENGINES = [
    "memory",
    "duckdb",
    "duckdb-over-sqlite-catalog",
    "duckdb-over-remote-store",
    pytest.param("druid", marks=pytest.mark.servers),
]


@pytest.fixture(params=ENGINES)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    clock = FixedClock()
    local = FsspecStore({root: str(tmp_path / "störe of 'files'" / root) for root in Root})
    match request.param:
        case "memory":
            memory = MemoryStore()
            yield Served(MemoryEngine(MemoryVersions(), memory, clock), memory)
        case "duckdb":
            yield Served(DuckDbEngine(MemoryVersions(), local, tmp_path / "cache", clock), local)
        case "duckdb-over-remote-store":
            remote = MemoryStore()
            yield Served(DuckDbEngine(MemoryVersions(), remote, tmp_path / "cache", clock), remote)
        case "druid":
            with parts_on(request.getfixturevalue("druid"), request.getfixturevalue("minio"), tmp_path) as parts:
                yield Served(RenamingEngine(parts, ["sales", "events", "other", "book"]), parts.store, keeps_empty_tables=False)
        case _:
            catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
            catalog.upgrade()
            yield Served(DuckDbEngine(catalog, local, tmp_path / "cache", clock), local)
            catalog.close()

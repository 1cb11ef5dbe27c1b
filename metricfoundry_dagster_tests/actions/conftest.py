"""Ports in memory with the real catalog, whose transactions the actions lean on."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_contracts import MemoryContracts
from metricfoundry_dagster_tests.fakes.memory_engine import MemoryEngine
from metricfoundry_dagster_tests.fakes.memory_runs import MemoryRuns
from metricfoundry_dagster_tests.fakes.memory_sources import MemorySources
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore


@dataclass(frozen=True, slots=True)
class World:
    """The ports, and the fakes behind them to be moved by tests."""

    ports: Ports
    store: MemoryStore
    contracts: MemoryContracts
    clock: FixedClock
    runs: MemoryRuns

    def drop(self, name: str, data: bytes = b"a\n1\n") -> None:
        """Put an object into the drop zone."""
        self.store.write_bytes(Root.UPLOADS, f"incoming/{name}", data)

    def put(self, name: str, data: bytes = b"a\n1\n") -> str:
        """Make a source and give its URI."""
        self.store.write_bytes(Root.UPLOADS, name, data)
        return self.store.uri(Root.UPLOADS, name)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which nothing has happened yet; files have at most 1,000 bytes."""
    return build_world(tmp_path)


def build_world(folder: Path) -> World:
    """The same, with its catalog in a folder."""
    catalog = open_catalog(f"sqlite:///{folder}/catalog.db")
    catalog.upgrade()
    store, clock, contracts = MemoryStore(), FixedClock(), MemoryContracts()
    ports = Ports(
        store=store,
        sources=MemorySources(store),
        catalog=catalog,
        engine=MemoryEngine(catalog, store, clock),
        contracts=contracts,
        clock=clock,
        limits=Limits(max_file_bytes=1_000),
    )
    return World(ports, store, contracts, clock, MemoryRuns())

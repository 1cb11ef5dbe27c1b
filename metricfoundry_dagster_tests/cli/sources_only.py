"""Ports whose catalog is real and whose files are in memory: enough for jobs, too little for the flow."""

from pathlib import Path

from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.clock import Clock
from metricfoundry_dagster_tests.fakes.memory_contracts import MemoryContracts
from metricfoundry_dagster_tests.fakes.memory_engine import MemoryEngine
from metricfoundry_dagster_tests.fakes.memory_sources import MemorySources
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore

SOURCES = 10


def ports_without_files(folder: Path, clock: Clock) -> Ports:
    """The sources are `memory://uploads/0.csv` to `9.csv`."""
    catalog = open_catalog(f"sqlite:///{folder}/catalog.db")
    catalog.upgrade()
    store = MemoryStore()
    for position in range(SOURCES):
        store.write_bytes(Root.UPLOADS, f"{position}.csv", b"a\n1\n")
    return Ports(
        store=store,
        sources=MemorySources(store),
        catalog=catalog,
        engine=MemoryEngine(catalog, store, clock),
        contracts=MemoryContracts(),
        clock=clock,
        limits=Limits(),
    )

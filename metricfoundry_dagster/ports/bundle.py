"""All ports of the flow in one value, as the composition root hands them out."""

from dataclasses import dataclass

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster.ports.clock import Clock
from metricfoundry_dagster.ports.contract_files import ContractFiles
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.ports.serving_engine import ServingEngine
from metricfoundry_dagster.ports.sources import Sources


@dataclass(frozen=True, slots=True)
class Ports:
    """What a stage may reach of the world, and the limits it must keep."""

    store: ObjectStore
    sources: Sources
    catalog: Catalog
    engine: ServingEngine
    contracts: ContractFiles
    clock: Clock
    limits: Limits

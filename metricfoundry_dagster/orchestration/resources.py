"""Resources: the ports of the flow, as Dagster hands them to assets and sensors.

A resource holds no configuration of its own, so that no secret can reach a run's config: everything comes from
the settings of the process, through the composition root.
"""

from collections.abc import Callable
from functools import cache

import dagster as dg

from metricfoundry_dagster.orchestration.process_settings import process_settings
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_ports, build_sources

PortsFactory = Callable[[], Ports]


@cache
def ports_from_settings() -> Ports:
    """The real ports, built at first use and once per process: loading the code location reaches for nothing."""
    return build_ports(process_settings())


def ports_resource(make_ports: PortsFactory) -> dg.ResourceDefinition:
    """Give the ports under the resource key `ports`."""
    return dg.ResourceDefinition(lambda _context: make_ports(), description="The ports of the flow.")


def remote_sources_resource(settings: Settings) -> dg.ResourceDefinition:
    """Give, under the resource key `remote_sources`, what reads only what a remote request may name."""
    return dg.ResourceDefinition(
        lambda _context: build_sources(settings, only_source_roots=True),
        description="Sources that a run's config may name.",
    )

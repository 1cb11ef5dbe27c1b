"""Roll a datasource back to the version that it served before."""

from metricfoundry_dagster.domain.datasets import slug_of
from metricfoundry_dagster.domain.served import Version
from metricfoundry_dagster.ports.bundle import Ports


def rollback(ports: Ports, datasource: str) -> Version:
    """Let readers see the version before the current one again, and give it.

    Raises:
        NotFoundError: `datasource.not_found`.
        ConflictError: `datasource.no_earlier_version`.
    """
    return ports.engine.rollback(slug_of(datasource))

"""Clear up after writers that died or were canceled while the serving engine did what they had told it."""

from metricfoundry_dagster.ports.bundle import Ports


def clear_up(ports: Ports) -> list[str]:
    """Take out what readers can see although no version records it; give the datasources of which something was.

    Whoever serves next in a datasource does the same for it. This is for datasets that nobody serves any more.

    Raises:
        WorldError: the engine is away, or something does not vanish in time; the next call goes on.
    """
    return ports.engine.settle_abandoned()

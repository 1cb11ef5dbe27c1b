"""Open everything that a command works on, out of the settings: imported inside commands, because it is heavy."""

from dataclasses import dataclass

from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs
from metricfoundry_dagster.settings import Settings, load_settings
from metricfoundry_dagster.wiring import build_ports, build_runs


@dataclass(frozen=True, slots=True)
class OpenHome:
    """The settings of this process, and what they lead to."""

    settings: Settings
    ports: Ports
    runs: Runs


def open_home() -> OpenHome:
    """Read the settings and build what is real.

    Raises:
        SettingsError: `settings.invalid`.
        WorldError: `catalog.unreachable`.
    """
    settings = load_settings()
    return OpenHome(settings, build_ports(settings), build_runs(settings))

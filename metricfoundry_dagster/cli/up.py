"""`metricfoundry up`: everything embedded in one go, until Ctrl-C."""

import time

from rich.console import Console

from metricfoundry_dagster.cli.supervise import Supervisor, supervised
from metricfoundry_dagster.settings import Settings, load_settings


def up(port: int | None) -> None:
    """Run the web server and the daemon, print where things are, and stop all at Ctrl-C.

    `port` defaults to the setting.

    Raises:
        ConflictError: `instance.running` when the home directory is in use.
        WorldError: `dagster.unreachable` when Dagster does not come up.
    """
    settings = load_settings()
    console = Console(stderr=True)
    with supervised(settings, port or settings.port) as supervisor:
        console.print("Starting Dagster …")
        supervisor.wait_until_ready()
        print_places(console, supervisor, settings)
        keep_going(supervisor)
    console.print("Stopped. What was under way goes on at the next start.")


def print_places(console: Console, supervisor: Supervisor, settings: Settings) -> None:
    """Say where the UI and the drop zone are."""
    console.print(f"Dagster UI   {supervisor.url}", soft_wrap=True)
    console.print(f"Drop zone    {settings.uploads_root}/incoming/<datasource>/", soft_wrap=True)
    console.print(f"Logs         {settings.home}/logs/", soft_wrap=True)
    console.print("Ctrl-C stops everything.")


def keep_going(supervisor: Supervisor) -> None:
    """Keep the processes alive until `supervised` is interrupted."""
    while True:
        supervisor.keep_alive()
        time.sleep(1)

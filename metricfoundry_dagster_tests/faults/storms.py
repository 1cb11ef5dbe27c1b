"""The two storms: over the embedded default, and over an instance on servers of its own."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from deploy.servers.point_at_stack import settings_of
from deploy.servers.run_stack import temporary_stack
from deploy.servers.stack import Stack
from metricfoundry_dagster.settings import PREFIX, Settings
from metricfoundry_dagster_tests.faults.storm import Plan, Report, Storm
from metricfoundry_dagster_tests.faults.victims import servers_of, victims_of
from metricfoundry_dagster_tests.running_instance import running_instance

#: Who dies on servers, ZooKeeper, historical and broker hold nothing of ours; the rest dies on the embedded default.
_MORTAL_PROCESSES = {"worker", "warm parent", "daemon", "code server"}
_MORTAL_SERVERS = ("minio", "postgresql", "coordinator", "indexer")


def embedded_storm(plan: Plan, folder: Path, tell: Callable[[str], object]) -> Report:
    """SQLite, files and DuckDB: only processes of the instance die."""
    with running_instance(folder) as instance:
        return Storm(plan, instance, victims_of(instance, Random(plan.seed)), tell=tell).rage()


def storm_on_servers(plan: Plan, folder: Path, tell: Callable[[str], object]) -> Report:
    """PostgreSQL, MinIO and Druid: the servers die as well.

    Raises:
        ServerUnavailableError: a server cannot be had on this machine.
    """
    with temporary_stack() as stack:
        stack.up()
        with running_instance(folder, **_settings_by_name(stack)) as instance:
            of_instance = [each for each in victims_of(instance, Random(plan.seed)) if each.name in _MORTAL_PROCESSES]
            victims = [*of_instance, *servers_of(stack, _MORTAL_SERVERS)]
            return Storm(plan, instance, victims, tell=tell).rage()


def _settings_by_name(stack: Stack) -> dict[str, object]:
    by_name = {variable.removeprefix(PREFIX).lower(): value for variable, value in settings_of(stack).items()}
    return {name: value for name, value in by_name.items() if name in Settings.model_fields}

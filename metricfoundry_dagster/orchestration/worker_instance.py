"""Dagster's instance as a run worker opens it: what is fast for one run, in place of what is fit for a server.

Dagster's storages connect anew for each call, which is half of what a small run costs, and its keeper of step output
starts four processes for each run. Which classes take their place is decided here; what they do is in files of their own.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import dagster as dg
import sqlalchemy as sa
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.instance import InstanceRef
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file

#: A worker that waits longer than this for one statement is better off failing and being taken up again.
_STATEMENT_TIMEOUT_MS = 60_000
_POOL_RECYCLE_SECONDS = 600
_POOL_OVERFLOW = 8
_ROOM = "metricfoundry_dagster.orchestration"
#: Module and class that take the place of a class of Dagster's, with the same configuration.
_REPLACEMENTS = {
    "DagsterSqliteStorage": (f"{_ROOM}.kept_sqlite", "KeptSqliteStorage"),
    "DagsterPostgresStorage": (f"{_ROOM}.kept_postgres", "KeptPostgresStorage"),
    "LocalComputeLogManager": (__name__, "DirectComputeLogManager"),
}


class DirectComputeLogManager(LocalComputeLogManager):
    """Writes the output of steps where Dagster's own does, without the four processes that copy it to the worker's log."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Build it from an instance's reference."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Redirect both streams of this process, until the block ends."""
        paths = [self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[each]) for each in ComputeIOType]
        for path in paths:
            ensure_file(path)
        with redirect_to_file(sys.stdout, paths[0]), redirect_to_file(sys.stderr, paths[1]):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call] # Dagster's has no annotations


def read_worker_reference(home: Path) -> InstanceRef:
    """What `dagster.yaml` in this DAGSTER_HOME says, with the classes above in place of Dagster's.

    Only reads configuration and imports the classes that it names: nothing is connected to, so that it may be called in a
    process that is to be forked.
    """
    reference = InstanceRef.from_dir(str(home))
    reference = reference._replace(
        storage_data=reference.storage_data and _replaced(reference.storage_data),
        compute_logs_data=_replaced(reference.compute_logs_data),
    )
    for value in reference:
        if isinstance(value, ConfigurableClassData):
            importlib.import_module(value.module_name)
    return reference


def make_worker_instance(home: Path) -> dg.DagsterInstance:
    """The instance of this DAGSTER_HOME with pooled connections, none of which is there yet; close it, as a context manager.

    May be made before a fork, when it is used on one side of it only: its storages connect when something is asked of them.
    """
    instance = dg.DagsterInstance.from_ref(read_worker_reference(home))
    instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MS, _POOL_RECYCLE_SECONDS, _POOL_OVERFLOW)
    return instance


def engines_of(instance: dg.DagsterInstance) -> list[sa.Engine]:
    """The engines of a worker's instance that outlive a fork; those of SQLite are told of their files later."""
    storages = (instance.run_storage, instance.event_log_storage)
    return [storage._engine for storage in storages if hasattr(storage, "_engine")]  # noqa: SLF001 - Dagster shows it nowhere


def _replaced(data: ConfigurableClassData) -> ConfigurableClassData:
    module, name = _REPLACEMENTS.get(data.class_name, (data.module_name, data.class_name))
    return ConfigurableClassData(module, name, data.config_yaml)

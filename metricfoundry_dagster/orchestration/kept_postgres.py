"""Dagster's PostgreSQL storages as a run worker opens them: on tables that exist. Pooling is an option of Dagster's own.

Source: the storage classes of the pinned version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from dagster import EventLogEntry
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from metricfoundry_dagster.orchestration.worker_storage import WorkerEventLog, WorkerRuns


class KeptPostgresRunStorage(WorkerRuns, PostgresRunStorage):
    """Dagster's runs in PostgreSQL."""


class KeptPostgresEventLogStorage(WorkerEventLog, PostgresEventLogStorage):
    """Dagster's events in PostgreSQL, without the notices that nobody has listened to since version 1.0 or so."""

    def store_together(self, waiting: Sequence[EventLogEntry], event: EventLogEntry) -> None:
        """All in one statement, and what follows from the last."""
        insert = SqlEventLogStorageTable.insert().returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
        rows = [self._event_to_row(each) for each in (*waiting, event)]
        with self._connect() as connection:
            event_id = int(connection.execute(insert, rows).scalars().all()[-1])
            if event.dagster_event_type in ASSET_EVENTS and event.dagster_event and event.dagster_event.asset_key:
                self._store_asset_event_tags(connection, [event], [event_id])
                self._store_asset_event(connection, event, event_id)
        if event.dagster_event_type in ASSET_CHECK_EVENTS:
            self.store_asset_check_event(event, event_id)

    def dispose(self) -> None:
        """Store what waits, and close the connections."""
        self.store_waiting()
        super().dispose()


class KeptPostgresStorage(DagsterPostgresStorage):
    """What `DagsterPostgresStorage` is, for a process that need not look whether its tables exist."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None, token_provider: Any) -> None:
        # Past the constructor of Dagster's class, which opens storages of Dagster's own.
        DagsterStorage.__init__(self)  # type: ignore[no-untyped-call, arg-type] # Dagster's base class is hardly annotated
        self.postgres_url = postgres_url
        self.should_autocreate_tables = False
        self._inst_data = inst_data
        arguments: dict[str, Any] = {"should_autocreate_tables": False, "token_provider": token_provider}
        self._run_storage = KeptPostgresRunStorage(postgres_url, **arguments)
        self._event_log_storage = KeptPostgresEventLogStorage(postgres_url, **arguments)
        self._schedule_storage = PostgresScheduleStorage(postgres_url, **arguments)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Build it from an instance's reference."""
        return cls(pg_url_from_config(config_value), inst_data, get_token_provider_from_config(config_value))

"""Dagster's PostgreSQL storages as a run worker opens them: on tables that exist. Pooling is an option of Dagster's own.

Source: the storage classes of the pinned version.
"""

from collections.abc import Mapping
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from metricfoundry_dagster.orchestration.worker_event_log import WorkerEventLog


class KeptPostgresEventLogStorage(WorkerEventLog, PostgresEventLogStorage):
    """Dagster's events in PostgreSQL."""

    def dispose(self) -> None:
        """Store what waits, and close the connections."""
        self.store_waiting()
        super().dispose()


class KeptPostgresStorage(DagsterPostgresStorage):
    """What `DagsterPostgresStorage` is, for a process that need not look whether its tables exist."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None, token_provider: Any) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False, inst_data=inst_data, token_provider=token_provider)
        self._event_log_storage = KeptPostgresEventLogStorage(
            postgres_url, should_autocreate_tables=False, token_provider=token_provider
        )

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Build it from an instance's reference."""
        return cls(pg_url_from_config(config_value), inst_data, get_token_provider_from_config(config_value))

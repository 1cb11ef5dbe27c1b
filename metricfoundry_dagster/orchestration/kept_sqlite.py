"""Dagster's SQLite storages as a run worker opens them: over connections that are kept, on files that exist.

Dagster's own connect anew for each call, and look at the schema's revision whenever they are opened. The process that
launches a run has done that already.

Source: the storage classes of the pinned version.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.base import RunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.base import ScheduleStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from metricfoundry_dagster.orchestration.remembered_partitions import RemembersPartitions


class KeptSqliteRunStorage(SqliteRunStorage):
    """Dagster's runs in SQLite, over one engine that keeps its connections."""

    def __init__(self, conn_string: str) -> None:
        super().__init__(conn_string)
        self._engine = _open_engine(conn_string)

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A transaction."""
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class KeptSqliteEventLogStorage(RemembersPartitions, SqliteEventLogStorage):
    """Dagster's events in SQLite, over one engine for the run's file and one for the index."""

    def __init__(self, base_dir: str) -> None:
        self._engines: dict[str, sa.Engine] = {}
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._engines.get(shard)
            if engine is None:
                engine = self._engines[shard] = self._open(shard)
            with engine.begin() as connection:
                yield connection

    def _open(self, shard: str) -> sa.Engine:
        engine = _open_engine(self.conn_string_for_shard(shard))
        with engine.connect() as connection:
            is_made = sa.inspect(connection).has_table("alembic_version")
        if not is_made:
            self._initdb(engine)
        return engine

    def dispose(self) -> None:
        """Close the connections."""
        super().dispose()
        for engine in self._engines.values():
            engine.dispose()


class KeptSqliteStorage(DagsterStorage[dg.DagsterInstance], ConfigurableClass):
    """What `DagsterSqliteStorage` is, for a process that works on existing files and keeps its connections."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None) -> None:
        folder = Path(base_dir)
        self._inst_data = inst_data
        self._run_storage = KeptSqliteRunStorage(create_db_conn_string(str(folder / "history"), "runs"))
        self._event_log_storage = KeptSqliteEventLogStorage(str(folder / "history" / "runs"))
        self._schedule_storage = SqliteScheduleStorage(create_db_conn_string(str(folder / "schedules"), "schedules"))
        super().__init__()  # type: ignore[no-untyped-call] # Dagster's base class has no annotations

    @classmethod
    def config_type(cls) -> dict[str, type[str]]:
        """The same option as Dagster's own has."""
        return {"base_dir": str}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> "KeptSqliteStorage":
        """Build it from an instance's reference."""
        return cls(config_value["base_dir"], inst_data)

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What the reference says of this storage."""
        return self._inst_data

    @property
    def event_log_storage(self) -> EventLogStorage[dg.DagsterInstance]:
        """The events."""
        return self._event_log_storage

    @property
    def run_storage(self) -> RunStorage[dg.DagsterInstance]:
        """The runs."""
        return self._run_storage

    @property
    def schedule_storage(self) -> ScheduleStorage[dg.DagsterInstance]:
        """What a run has no use for, but an instance must have."""
        return self._schedule_storage


def _open_engine(address: str) -> sa.Engine:
    engine = sa.create_engine(address, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
    sa.event.listen(engine, "connect", _spare_the_disk)
    return engine


def _spare_the_disk(connection: sqlite3.Connection, _record: object) -> None:
    """A power cut may take the last events with it, and the run of which they tell too; a kill loses nothing."""
    connection.execute("PRAGMA synchronous = NORMAL")

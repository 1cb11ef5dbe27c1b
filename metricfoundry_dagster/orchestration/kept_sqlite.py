"""Dagster's SQLite storages as a run worker opens them: over connections that are kept, on files that exist.

Dagster's own connect anew for each call, and look at the schema's revision whenever they are opened. The process that
launches a run has done that already.

Source: the storage classes of the pinned version.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.base import RunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.base import ScheduleStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from metricfoundry_dagster.orchestration.worker_storage import WorkerEventLog, WorkerRuns


class _Engine:
    """An engine that can be pointed at another file of the same kind, and then knows its compiled statements."""

    def __init__(self) -> None:
        self._path = ""
        self.engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=sa.QueuePool)

    def point_at(self, path: str) -> sa.Engine:
        """Open this file from now on."""
        self._path = path
        return self.engine

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS, check_same_thread=False)
        # A power cut may take the last events with it, and the run of which they tell too; a kill loses nothing.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


class _Engines:
    """The open engines of one storage. Those that it closes are taken up by the next storage of the process."""

    _at_rest: ClassVar[dict[str, _Engine]] = {}

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, _Engine]] = {}

    def open(self, kind: str, address: str) -> sa.Engine:
        """The engine for the file at this address."""
        if address not in self._open:
            engine = self._at_rest.pop(kind, None) or _Engine()
            engine.point_at(address.removeprefix("sqlite:///"))
            self._open[address] = kind, engine
        return self._open[address][1].engine

    def __contains__(self, address: str) -> bool:
        return address in self._open

    def close(self) -> None:
        """Close all connections."""
        for kind, engine in self._open.values():
            engine.engine.dispose()
            self._at_rest[kind] = engine
        self._open = {}


class KeptSqliteRunStorage(WorkerRuns, SqliteRunStorage):
    """Dagster's runs in SQLite, over one engine that keeps its connections."""

    def __init__(self, conn_string: str) -> None:
        super().__init__(conn_string)
        self._engines = _Engines()

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A transaction."""
        with self._engines.open("runs", self._conn_string).begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the connections."""
        self._engines.close()


class KeptSqliteEventLogStorage(WorkerEventLog, SqliteEventLogStorage):
    """Dagster's events in SQLite, over one engine for the run's file and one for the index."""

    def __init__(self, base_dir: str) -> None:
        self._engines = _Engines()
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            address = self.conn_string_for_shard(shard)
            is_new = address not in self._engines
            engine = self._engines.open("index" if shard == INDEX_SHARD_NAME else "run", address)
            if is_new:
                self._make_missing_tables(engine)
            with engine.begin() as connection:
                yield connection

    def _make_missing_tables(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            is_made = sa.inspect(connection).has_table("alembic_version")
        if not is_made:
            self._initdb(engine)

    def dispose(self) -> None:
        """Store what waits, and close the connections."""
        self.store_waiting()
        super().dispose()
        self._engines.close()


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

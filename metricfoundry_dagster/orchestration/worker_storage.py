"""What the storages of a run worker have in common: they ask for nothing twice, and write small talk together.

A run of five assets has some fifty events, for most of which nobody waits, and asks for partitions, columns and its
own last materializations dozens of times. On any storage that is more than the work on a small dataset.

Source: the storages of the pinned version.
"""

import threading
from collections.abc import Sequence

from dagster import AssetKey, AssetRecordsFilter, DagsterEventType, EventLogEntry, EventRecordsResult
from dagster._core.storage.event_log.base import EventLogConnection
from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageMetadata, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from sqlalchemy import Connection

#: Events that change nothing beside the log, and are followed by one that does: nobody sees whether they come with it.
_CAN_WAIT = {
    DagsterEventType.HANDLED_OUTPUT,
    DagsterEventType.LOADED_INPUT,
    DagsterEventType.LOGS_CAPTURED,
    DagsterEventType.RESOURCE_INIT_STARTED,
    DagsterEventType.RESOURCE_INIT_SUCCESS,
    DagsterEventType.STEP_INPUT,
    DagsterEventType.STEP_OUTPUT,
    DagsterEventType.STEP_SUCCESS,
}


class WorkerRuns(SqlRunStorage):
    """Mixed into a storage of runs, before it."""

    def has_run_stats_index_cols(self) -> bool:
        """Whether runs have the columns of their start and end: always, in the pinned version's tables."""
        return True


class WorkerEventLog(SqlEventLogStorage):
    """Mixed into a storage of events, before it. What was there once is not asked for again. What was not there is."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._partitions_seen: set[tuple[str, str]] = set()
        self._last_materializations: dict[tuple[AssetKey, str], EventRecordsResult] = {}
        self._waiting: list[EventLogEntry] = []
        self._turn = threading.RLock()
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call] # Dagster's class has no annotations

    # ---- written together

    def store_event(self, event: EventLogEntry) -> None:
        """Store it, after those that waited for it; or let it wait. A worker that is killed takes those with it."""
        with self._turn:
            if self._waiting and self._waiting[0].run_id != event.run_id:
                self.store_waiting()
            if event.dagster_event is not None and event.dagster_event.event_type in _CAN_WAIT:
                self._waiting.append(event)
                return
            self.store_waiting()
            self._forget_materializations([event])
            super().store_event(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store them, after those that waited."""
        with self._turn:
            self.store_waiting()
            self._forget_materializations(events)
            super().store_event_batch(events)

    def store_waiting(self) -> None:
        """Store what waits, in order, as one transaction."""
        with self._turn:
            if self._waiting:
                with self.run_connection(self._waiting[0].run_id) as connection:
                    connection.execute(SqlEventLogStorageTable.insert(), [self._event_to_row(each) for each in self._waiting])
                self._waiting = []

    def get_records_for_run(
        self,
        run_id: str,
        cursor: str | None = None,
        of_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
        ascending: bool = True,  # noqa: FBT001, FBT002 - Dagster's signature
    ) -> EventLogConnection:
        """The log of a run, with what waited."""
        self.store_waiting()
        return super().get_records_for_run(run_id, cursor, of_type, limit, ascending)

    # ---- asked once

    def has_table(self, table_name: str) -> bool:
        """Whether the database has this table of the pinned version's: always, since whoever launches runs has made them."""
        return table_name in SqlEventLogStorageMetadata.tables

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Whether this partition was added, as of the first time when it was there."""
        partition = (partitions_def_name, partition_key)
        if partition not in self._partitions_seen and super().has_dynamic_partition(partitions_def_name, partition_key):
            self._partitions_seen.add(partition)
        return partition in self._partitions_seen

    def fetch_materializations(
        self,
        records_filter: AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,  # noqa: FBT001, FBT002 - Dagster's signature
    ) -> EventRecordsResult:
        """As Dagster's own; the last one of a partition, which each check is about, is kept until another is stored here.

        What another process stores meanwhile is not seen: a dataset is carried by one run at a time.
        """
        asked = (records_filter, limit, cursor, ascending)
        partition = _only_partition(records_filter)
        if partition is None or asked[1:] != (1, None, False):
            return super().fetch_materializations(*asked)
        with self._turn:
            if partition not in self._last_materializations:
                self._last_materializations[partition] = super().fetch_materializations(*asked)
            return self._last_materializations[partition]

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        del conn
        return column_name in AssetKeyTable.c

    def _forget_materializations(self, events: Sequence[EventLogEntry]) -> None:
        for event in events:
            told = event.dagster_event
            if (
                told is not None
                and told.event_type is DagsterEventType.ASSET_MATERIALIZATION
                and told.asset_key
                and told.partition
            ):
                self._last_materializations.pop((told.asset_key, told.partition), None)


def _only_partition(asked: AssetKey | AssetRecordsFilter) -> tuple[AssetKey, str] | None:
    """The one partition that is asked for, and no more than that; else None."""
    if not isinstance(asked, AssetRecordsFilter):
        return None
    partitions = asked.asset_partitions or ()
    plain = AssetRecordsFilter(asset_key=asked.asset_key, asset_partitions=asked.asset_partitions)
    return (asked.asset_key, partitions[0]) if len(partitions) == 1 and asked == plain else None

"""What the storages of a run worker have in common: they ask for nothing twice, and write small talk together.

A run of five assets has some fifty events, for most of which nobody waits, and asks for partitions, tables, columns and
what it has just stored itself dozens of times. On any storage that is more than the work on a small dataset.

Source: the storages of the pinned version.
"""

import threading
from collections.abc import Mapping, Sequence

from dagster import AssetKey, AssetRecordsFilter, DagsterEventType, EventLogEntry, EventLogRecord, EventRecordsResult
from dagster._core.event_api import EventLogCursor
from dagster._core.storage.event_log.base import AssetEntry, AssetRecord, EventLogConnection
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
        #: Materializations that were stored here, oldest first.
        self._own: dict[tuple[AssetKey, str], EventLogRecord] = {}
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
            waiting, self._waiting = self._waiting, []
            self._forget_materializations([event])
            try:
                self.store_together(waiting, event)
            except BaseException:
                self._waiting = waiting  # perhaps stored already: rather twice than never
                raise

    def store_together(self, waiting: Sequence[EventLogEntry], event: EventLogEntry) -> None:
        """Store what waited and, behind it, an event that others may ask for."""
        if waiting:
            self._insert(waiting)
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
                self._insert(self._waiting)
                self._waiting = []

    def _insert(self, events: Sequence[EventLogEntry]) -> None:
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), [self._event_to_row(each) for each in events])

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

    def get_latest_tags_by_partition(
        self,
        asset_key: AssetKey,
        event_type: DagsterEventType,
        tag_keys: Sequence[str],
        asset_partitions: Sequence[str] | None = None,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
    ) -> Mapping[str, Mapping[str, str]]:
        """As Dagster's own; those of a materialization that was stored here are known."""
        if event_type is DagsterEventType.ASSET_MATERIALIZATION and not before_cursor and not after_cursor:
            own = [self._own.get((asset_key, partition)) for partition in asset_partitions or ()]
            if own and all(own):
                tags = [_tags_of(record, tag_keys) for record in own if record]
                return {partition: found for partition, found in zip(asset_partitions or (), tags, strict=True) if found}
        return super().get_latest_tags_by_partition(
            asset_key, event_type, tag_keys, asset_partitions, before_cursor, after_cursor
        )

    def get_asset_records(self, asset_keys: Sequence[AssetKey] | None = None) -> Sequence[AssetRecord]:
        """As Dagster's own; of assets that were materialized here only what that materialization says."""
        newest = {key: record for (key, _), record in self._own.items()}
        if not asset_keys or any(key not in newest for key in asset_keys):
            return super().get_asset_records(asset_keys)
        return [
            AssetRecord(
                storage_id=newest[key].storage_id,
                asset_entry=AssetEntry(asset_key=key, last_materialization_record=newest[key], last_run_id=newest[key].run_id),
            )
            for key in asset_keys
        ]

    def _store_asset_event(self, conn: Connection, event: EventLogEntry, event_id: int) -> None:
        """Dagster's own, and keep in mind what a step that comes after will ask for."""
        super()._store_asset_event(conn, event, event_id)
        partition = _materialized_partition(event)
        if partition is not None:
            self._own.pop(partition, None)  # so that the newest comes last
            self._own[partition] = record = EventLogRecord(event_id, event)
            cursor = EventLogCursor.from_storage_id(event_id).to_string()
            self._last_materializations[partition] = EventRecordsResult([record], cursor, has_more=True)

    def _forget_materializations(self, events: Sequence[EventLogEntry]) -> None:
        for event in events:
            partition = _materialized_partition(event)
            if partition is not None:
                self._last_materializations.pop(partition, None)
                self._own.pop(partition, None)


def _materialized_partition(event: EventLogEntry) -> tuple[AssetKey, str] | None:
    told = event.dagster_event
    if told is None or told.event_type is not DagsterEventType.ASSET_MATERIALIZATION or not told.asset_key or not told.partition:
        return None
    return told.asset_key, told.partition


def _tags_of(record: EventLogRecord, keys: Sequence[str]) -> dict[str, str]:
    materialization = record.asset_materialization
    tags = (materialization.tags if materialization else None) or {}
    return {key: tags[key] for key in keys if key in tags}


def _only_partition(asked: AssetKey | AssetRecordsFilter) -> tuple[AssetKey, str] | None:
    """The one partition that is asked for, and no more than that; else None."""
    if not isinstance(asked, AssetRecordsFilter):
        return None
    partitions = asked.asset_partitions or ()
    plain = AssetRecordsFilter(asset_key=asked.asset_key, asset_partitions=asked.asset_partitions)
    return (asked.asset_key, partitions[0]) if len(partitions) == 1 and asked == plain else None

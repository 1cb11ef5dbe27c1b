"""Writing many asset events to Dagster's event log in one transaction.

Dagster itself batches materializations on PostgreSQL only, and writes each check evaluation in three transactions, on
SQLite in four with a connection each: ten times the cost of the small dataset that they tell of. The tables and rows
here are those that its storage classes write. On a storage that is not SQL, events go Dagster's own way, one by one.

Source: `SqlEventLogStorage.store_event`, `.store_asset_check_event` and their overrides in the pinned version.
"""

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from metricfoundry_dagster.domain.errors import WorldError

#: Makes the events that come after, from the storage ids of those before; None where a storage does not tell them.
Following = Callable[[Sequence[int | None]], Sequence[EventLogEntry]]


def write_events(entries: Sequence[EventLogEntry], following: Following, instance: dg.DagsterInstance) -> None:
    """Write events of one run and those that follow from their ids; all or none, where the storage has transactions.

    Raises:
        WorldError: `dagster.unreachable` when the database does not answer.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        for entry in [*entries, *following([None] * len(entries))]:
            instance.handle_new_event(entry)
        return
    try:
        _write(storage, entries, following)
    except DBAPIError as error:
        raise WorldError("dagster.unreachable", f"Dagster's event log: {type(error.orig).__name__}") from None


def partitions_told(run_id: str, instance: dg.DagsterInstance) -> set[str]:
    """The partitions of which the run's events tell already."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        records = instance.all_logs(run_id, of_type={DagsterEventType.ASSET_MATERIALIZATION})
        return {str(record.get_dagster_event().partition) for record in records}
    table = SqlEventLogStorageTable.c
    with storage.index_connection() as connection:
        found = connection.execute(select(table.partition).where(table.run_id == run_id, table.partition.is_not(None)).distinct())
        return {row.partition for row in found}


def _write(storage: SqlEventLogStorage, entries: Sequence[EventLogEntry], following: Following) -> None:
    with storage.index_transaction() as connection:
        ids, rows = _insert(connection, storage, entries)
        more = following(ids)
        more_ids, more_rows = _insert(connection, storage, more)
        for entry, storage_id in _last_of_each_asset([*entries, *more], [*ids, *more_ids]):
            storage._store_asset_event(connection, entry, storage_id)  # noqa: SLF001 - the row that each storage writes its way
        checks = [
            _check_row(entry, storage_id, row)
            for entry, storage_id, row in zip(more, more_ids, more_rows, strict=True)
            if _kind(entry) is DagsterEventType.ASSET_CHECK_EVALUATION
        ]
        if checks:
            connection.execute(insert(AssetCheckExecutionsTable), checks)
    if isinstance(storage, SqliteEventLogStorage) and rows + more_rows:  # a file for each run beside the index of all
        with storage.run_connection(rows[0]["run_id"] if rows else more_rows[0]["run_id"]) as connection:
            connection.execute(insert(SqlEventLogStorageTable), rows + more_rows)


def _insert(
    connection: Connection, storage: SqlEventLogStorage, entries: Sequence[EventLogEntry]
) -> tuple[list[int], list[dict[str, Any]]]:
    rows = [storage._event_to_row(entry) for entry in entries]  # noqa: SLF001 - the same row as Dagster's own
    if not rows:
        return [], []
    statement = insert(SqlEventLogStorageTable).returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
    return list(connection.scalars(statement, rows)), rows


def _last_of_each_asset(entries: Sequence[EventLogEntry], ids: Sequence[int]) -> list[tuple[EventLogEntry, int]]:
    """An asset's own row tells of its last event only. In order of the key, so that two writers never wait for each other."""
    last = {
        entry.get_dagster_event().asset_key: (entry, storage_id)
        for entry, storage_id in zip(entries, ids, strict=True)
        if _kind(entry) is not DagsterEventType.ASSET_CHECK_EVALUATION
    }
    return [last[key] for key in sorted(last, key=str)]


def _check_row(entry: EventLogEntry, storage_id: int, row: dict[str, Any]) -> dict[str, Any]:
    evaluation = entry.get_dagster_event().asset_check_evaluation_data
    target = evaluation.target_materialization_data
    status = AssetCheckExecutionRecordStatus.SUCCEEDED if evaluation.passed else AssetCheckExecutionRecordStatus.FAILED
    return {
        "asset_key": evaluation.asset_key.to_string(),
        "check_name": evaluation.check_name,
        "partition": evaluation.partition,
        "run_id": entry.run_id,
        "execution_status": status.value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": storage_id,
        "materialization_event_storage_id": target.storage_id if target else None,
    }


def _kind(entry: EventLogEntry) -> DagsterEventType:
    return entry.get_dagster_event().event_type

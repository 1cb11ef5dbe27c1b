"""What an event log storage may remember for the length of one run: that a partition and the table of partitions exist.

Dagster asks for both dozens of times in a run of five assets, and each time in the database.

Source: the event log storages of the pinned version.
"""

from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage


class RemembersPartitions(SqlEventLogStorage):
    """Mixed into a storage: what was there once is not asked for again. What was not there is."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._tables_seen: set[str] = set()
        self._partitions_seen: set[tuple[str, str]] = set()
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call] # Dagster's class has no annotations

    def has_table(self, table_name: str) -> bool:
        """Whether the database has this table."""
        if table_name not in self._tables_seen and super().has_table(table_name):  # type: ignore[safe-super] # a storage is next
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Whether this partition was added, as of the first time when it was there."""
        partition = (partitions_def_name, partition_key)
        if partition not in self._partitions_seen and super().has_dynamic_partition(partitions_def_name, partition_key):
            self._partitions_seen.add(partition)
        return partition in self._partitions_seen

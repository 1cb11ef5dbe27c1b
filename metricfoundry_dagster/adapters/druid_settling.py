"""Settling what somebody announced and did not finish: its tasks are ended, what they published is undone.

Undoing goes by the ids of segments alone: what was not there before is marked unused, what was there is marked used.
It can be done by several at once, and twice: the used segments are read first and the announcement is looked at after
that, so that whatever is found in the way was made while the announcement stood.
"""

from collections.abc import Collection
from dataclasses import replace

from metricfoundry_dagster.adapters.druid_measuring import measure_all
from metricfoundry_dagster.adapters.druid_parts import DruidParts, wait_until
from metricfoundry_dagster.adapters.druid_planning import plan_to_replace
from metricfoundry_dagster.adapters.druid_putting_in import finish_in_place, names_of
from metricfoundry_dagster.adapters.druid_take_out import take_out
from metricfoundry_dagster.adapters.druid_task_runs import carry_out, end_tasks
from metricfoundry_dagster.domain.announcements import Announcement
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import FencedError, MetricFoundryError
from metricfoundry_dagster.domain.served import Servable, Version


def settle(parts: DruidParts, announcement: Announcement) -> None:
    """Bring Druid back to what the catalog says is served, and withdraw the announcement.

    Members that are recorded in versions stay, all others are taken out. Without effect when somebody else does it.

    Raises:
        WorldError: Druid is away, or what is undone does not vanish in time; the announcement stands then.
    """
    standing: Announcement | None = announcement
    while standing is not None and standing.announcement_id == announcement.announcement_id:
        try:
            _undo(parts, standing)
        except FencedError:
            return
        if parts.catalog.withdraw(standing):
            return
        standing = parts.catalog.announcement(announcement.datasource)  # more was noted: by us, or by its maker who woke up


def _undo(parts: DruidParts, announcement: Announcement) -> None:
    end_tasks(parts, announcement.tasks)
    if announcement.segments_before is None:
        return
    recorded = parts.catalog.recorded(announcement)
    left_over = [dataset_id for dataset_id, attempt in announcement.members if (dataset_id, attempt) not in recorded]
    current = parts.catalog.current_version(announcement.datasource)
    if not recorded:
        _restore(parts, announcement, current)
    elif left_over and current is not None and current.members[0].mode is Mode.REPLACE:
        # a dataset of a higher sequence was refused at the last moment: another one than Druid holds is current
        _put_current_in_place(parts, announcement, current.members[0])
    elif left_over:
        for name in announcement.segments_before:
            take_out(parts, announcement, name, left_over, settling=True)


def _put_current_in_place(parts: DruidParts, announcement: Announcement, servable: Servable) -> None:
    names = names_of([servable]).union(announcement.segments_before or {})
    if all(_holds_alone(parts, announcement, name, servable) for name in names):
        return
    [measured] = measure_all(parts.store, [servable])
    if isinstance(measured, MetricFoundryError):
        raise measured
    before = {name: parts.segments.used(name) for name in names}
    # A task of its own for each try: what an earlier one made would be among the segments before it.
    this_try = replace(announcement, announcement_id=f"{announcement.announcement_id}-{len(announcement.tasks)}")
    planned = plan_to_replace(parts, this_try, servable, measured, before)
    finish_in_place(parts, carry_out(parts, announcement, planned, settling=True), servable, before)


def _holds_alone(parts: DruidParts, announcement: Announcement, name: str, servable: Servable) -> bool:
    """Whether readers see in a table exactly the rows of a dataset, in segments that the announcement led to."""
    seen = parts.segments.seen(name, [servable.dataset_id])
    wanted = sum(table.rows for table in servable.tables if table.name == name)
    old: Collection[str] = (announcement.segments_before or {}).get(name, ())
    made = sum(rows.asked_for for segment_id, rows in seen.items() if segment_id not in old)
    return made == wanted == sum(rows.rows for rows in seen.values())


def _restore(parts: DruidParts, announcement: Announcement, current: Version | None) -> None:
    revived: list[str] = []
    for name, ids in (announcement.segments_before or {}).items():
        used, before = parts.segments.used(name), frozenset(ids)
        if not parts.catalog.stands(announcement):
            raise FencedError("attempt.fenced", f"what was announced for {announcement.datasource} was settled by another")
        parts.segments.mark_unused(name, used - before)  # first, for these may hide those
        if before - used:
            parts.segments.mark_used(name, before - used)
            revived.append(name)
    wait_until(lambda: _unrestored(parts, announcement, revived, current), parts.timeouts.load_seconds)


def _unrestored(parts: DruidParts, announcement: Announcement, revived: list[str], current: Version | None) -> str | None:
    for name, before in (announcement.segments_before or {}).items():
        seen = parts.segments.seen(name)
        undone = sum(rows.rows for segment_id, rows in seen.items() if segment_id not in before)
        if undone:
            return f"{undone:,} rows that were taken back can still be seen in {name}"
        if name in revived:
            # Others' rows are none of ours: there are some when the catalog was restored from an older copy.
            rows_of = _rows_of(name, current)
            found = sum(rows.asked_for for rows in parts.segments.seen(name, rows_of).values())
            if found != (wanted := sum(rows_of.values())):
                return f"{found:,} of {wanted:,} rows that were there before can be seen in {name}"
    return None


def _rows_of(name: str, current: Version | None) -> dict[str, int]:
    members = current.members if current else ()
    return {member.dataset_id: table.rows for member in members for table in member.tables if table.name == name}

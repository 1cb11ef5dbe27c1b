"""Taking datasets' rows out of a table to which rows are appended, in place, while everything else stays.

Segments that hold nothing else are marked unused. A time chunk with a segment that holds others' rows too, as after a
batch or a compaction, is written again without them; Druid swaps such a chunk as a whole.
"""

from collections.abc import Collection, Mapping
from typing import Any

from metricfoundry_dagster.adapters.druid_parts import DruidParts, wait_until
from metricfoundry_dagster.adapters.druid_segment_ids import granularity_of, interval_of
from metricfoundry_dagster.adapters.druid_segments import SeenRows
from metricfoundry_dagster.adapters.druid_task_runs import PlannedTask, carry_out
from metricfoundry_dagster.domain.announcements import AnnouncedTask, Announcement
from metricfoundry_dagster.domain.errors import FencedError
from metricfoundry_dagster.pipeline.serving.druid_rewrite import RewriteRequest, rewrite_task


def take_out(
    parts: DruidParts, announcement: Announcement, name: str, dataset_ids: Collection[str], *, settling: bool = False
) -> Announcement:
    """Let readers see no row of these datasets in the table any more; give the announcement as it is then.

    `settling` is as for `carry_out`.

    Raises:
        FencedError: `attempt.fenced` when the announcement stands no more.
        WorldError: `druid.not_loaded`, `druid.task_failed`, or as the servers'.
    """
    wait_until(lambda: parts.segments.unloaded(name), parts.timeouts.load_seconds)
    wait_until(lambda: _others_at_work(parts, name), parts.timeouts.load_seconds)
    seen = parts.segments.seen(name, dataset_ids)
    mixed = {interval_of(name, segment_id) for segment_id, rows in seen.items() if 0 < rows.asked_for < rows.rows}
    pure = {segment_id for segment_id, rows in seen.items() if rows.asked_for and interval_of(name, segment_id) not in mixed}
    columns = parts.segments.columns(name) if mixed else {}
    planned = [_rewrite(name, interval, seen, dataset_ids, columns, announcement) for interval in sorted(mixed)]
    done = carry_out(parts, announcement, planned, settling=settling)
    if not parts.catalog.stands(done):
        raise FencedError("attempt.fenced", f"what was announced for {announcement.datasource} was taken over")
    parts.segments.mark_unused(name, pure)
    wait_until(lambda: _still_there(parts, name, dataset_ids), parts.timeouts.load_seconds)
    return done


def _rewrite(
    name: str,
    interval: str,
    seen: Mapping[str, SeenRows],
    dataset_ids: Collection[str],
    columns: Mapping[str, Any],
    announcement: Announcement,
) -> PlannedTask:
    in_chunk = [rows for segment_id, rows in seen.items() if interval_of(name, segment_id) == interval]
    left_out = sum(rows.asked_for for rows in in_chunk)
    request = RewriteRequest(
        datasource=name,
        interval=interval,
        granularity=granularity_of(interval),
        columns=columns,
        without=tuple(sorted(dataset_ids)),
        announcement_id=f"{announcement.announcement_id}-{len(announcement.tasks)}",
    )
    task = rewrite_task(request)
    return PlannedTask(task, AnnouncedTask(task["id"], "take out", sum(rows.rows for rows in in_chunk) - left_out, left_out))


def _others_at_work(parts: DruidParts, name: str) -> str | None:
    """A compaction that is under way would bring the rows back: it has read them already."""
    running = parts.overlord.running_tasks(name)
    return f"{running[0]} works on {name}" if running else None


def _still_there(parts: DruidParts, name: str, dataset_ids: Collection[str]) -> str | None:
    left = sum(rows.asked_for for rows in parts.segments.seen(name, dataset_ids).values())
    return f"{left:,} rows that were taken out can still be seen in {name}" if left else None

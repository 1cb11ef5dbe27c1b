"""Carrying tasks out: noted first, then posted, then waited for, and their rows reconciled."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from metricfoundry_dagster.adapters.druid_overlord import RowStats
from metricfoundry_dagster.adapters.druid_parts import DruidParts, pauses
from metricfoundry_dagster.domain.announcements import AnnouncedTask, Announcement
from metricfoundry_dagster.domain.errors import FencedError, WorldError
from metricfoundry_dagster.pipeline.serving.druid_task import ParallelTask

_REPORT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task with what is to be noted of it."""

    task: ParallelTask
    announced: AnnouncedTask


def carry_out(
    parts: DruidParts, announcement: Announcement, planned: Sequence[PlannedTask], *, settling: bool = False
) -> Announcement:
    """Note the tasks, post them all and wait for all; give the announcement as it is then.

    Who is `settling` works for jobs that may have ended, so that only the announcement must stand.

    Raises:
        FencedError: `attempt.fenced` when somebody took over what was announced, or all its jobs have ended.
        WorldError: `druid.task_failed`, `serving.count_mismatch`, or as the Overlord's.
    """
    if not planned:
        return announcement
    noted = parts.catalog.note(announcement, tasks=[each.announced for each in planned])
    for each in planned:
        parts.overlord.submit(each.task)
    await_tasks(parts, noted, [each.announced for each in planned], settling=settling)
    return noted


def await_tasks(parts: DruidParts, announcement: Announcement, tasks: Sequence[AnnouncedTask], *, settling: bool = False) -> None:
    """Wait until posted tasks have succeeded, and reconcile their rows. Raises as `carry_out`."""
    deadline = time.monotonic() + parts.timeouts.task_seconds
    waiting = {task.task_id for task in tasks}
    for pause in pauses(0.1, 2.0):
        waiting = {task_id for task_id in waiting if not _has_succeeded(parts, task_id)}
        if not waiting:
            break
        _require_wanted(parts, announcement, settling=settling)
        if time.monotonic() > deadline:
            message = f"{min(waiting)} did not end within {parts.timeouts.task_seconds:g} seconds"
            raise WorldError("druid.task_failed", message)
        time.sleep(pause)
    for task in tasks:
        _reconcile(parts, task)


def end_tasks(parts: DruidParts, tasks: Sequence[AnnouncedTask]) -> None:
    """See to it that none of these tasks does anything any more: each has ended, or its id is used up.

    Raises:
        WorldError: `druid.task_failed` when one does not end although it was told to.
    """
    deadline = time.monotonic() + parts.timeouts.end_seconds
    waiting = [task.task_id for task in tasks]
    for pause in pauses(0.1, 2.0):
        waiting = [task_id for task_id in waiting if not _has_ended(parts, task_id)]
        if not waiting:
            return
        if time.monotonic() > deadline:
            message = f"{waiting[0]} did not end within {parts.timeouts.end_seconds:g} seconds of being shut down"
            raise WorldError("druid.task_failed", message)
        time.sleep(pause)


def _require_wanted(parts: DruidParts, announcement: Announcement, *, settling: bool) -> None:
    if settling and not parts.catalog.stands(announcement):
        raise FencedError("attempt.fenced", f"what was announced for {announcement.datasource} was settled by another")
    if not settling and not parts.catalog.is_at_work(announcement, parts.clock.now()):
        raise FencedError("attempt.fenced", f"the jobs that serve {announcement.datasource} have ended")


def _has_succeeded(parts: DruidParts, task_id: str) -> bool:
    state = parts.overlord.state(task_id)
    if state is None:
        raise WorldError("druid.task_failed", f"Druid does not know {task_id} any more")
    if state.code == "FAILED":
        raise WorldError("druid.task_failed", f"{task_id} failed: {state.reason or 'Druid does not say why'}")
    return state.code == "SUCCESS"


def _has_ended(parts: DruidParts, task_id: str) -> bool:
    state = parts.overlord.state(task_id)
    if state is None:
        parts.overlord.use_up(task_id)  # unless it is posted just now: the next look tells
        state = parts.overlord.state(task_id)
    if state is not None and state.code == "RUNNING":
        parts.overlord.shut_down(task_id)
        return False
    return state is not None


def _reconcile(parts: DruidParts, task: AnnouncedTask) -> None:
    """Hold what the task says of its rows against what it was to do: Druid drops rows without a word otherwise."""
    wanted = RowStats(processed=task.rows, processed_with_error=0, thrown_away=task.left_out, unparseable=0)
    deadline = time.monotonic() + _REPORT_SECONDS
    told: RowStats | None = None
    for pause in pauses(0.1, 1.0):
        told = parts.overlord.row_stats(task.task_id)
        if told is not None or time.monotonic() > deadline:
            break
        time.sleep(pause)
    if told is None:
        hint = "Druid must keep the reports of its tasks: set druid.indexer.logs.type."
        raise WorldError("druid.refused", f"there is no report of {task.task_id}", hint=hint)
    if told != wanted:
        message = f"{task.task_id} was to take in {task.rows:,} rows and leave out {task.left_out:,}, but says {told}"
        raise WorldError("serving.count_mismatch", message)

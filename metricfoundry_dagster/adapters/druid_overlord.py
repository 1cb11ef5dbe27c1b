"""Druid's Overlord: tasks are posted, asked for and shut down here. What tasks mean for us is decided elsewhere.

Druid takes an id once, for ever, whatever the task: so an id that may still be posted by somebody who sleeps can be
used up, and whoever wakes up then finds a task that is not his own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from metricfoundry_dagster.adapters.druid_http import DruidHttp, Reply, shortened
from metricfoundry_dagster.domain.errors import FencedError, WorldError
from metricfoundry_dagster.pipeline.serving.druid_task import ParallelTask

_TASKS = "/druid/indexer/v1"
_ALREADY_THERE = "entryAlreadyExists"
_NOOP = "noop"
_JAVA_CLASS = re.compile(r"^(?:[a-z]\w*\.)+\w+: ")


@dataclass(frozen=True, slots=True)
class TaskState:
    """How far a task is. `reason` is Druid's when it failed, cut to its first line."""

    code: Literal["RUNNING", "SUCCESS", "FAILED"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RowStats:
    """What became of the rows that a task read."""

    processed: int
    processed_with_error: int
    thrown_away: int
    unparseable: int


class DruidOverlord:
    """Tasks, by id."""

    def __init__(self, http: DruidHttp) -> None:
        self._http = http

    def require_there(self) -> None:
        """Raise WorldError `druid.unreachable` at once when nobody answers."""
        self._http.get(f"{_TASKS}/isLeader", patience_seconds=0.0)

    def submit(self, task: ParallelTask) -> None:
        """Post a task; one with this id that was posted before is as good, since the id stands for the whole task.

        Raises:
            FencedError: `attempt.fenced` when somebody used the id up, because he took our place.
            WorldError: `druid.refused` or `druid.unreachable`.
        """
        if not self._post(task) and self._kind(task["id"]) == _NOOP:
            raise FencedError("attempt.fenced", f"the id {task['id']} was used up by who took over what this task was for")

    def use_up(self, task_id: str) -> None:
        """See to it that no task can be posted with this id any more; without effect on one that is there."""
        self._post({"type": _NOOP, "id": task_id, "runTime": 1})

    def state(self, task_id: str) -> TaskState | None:
        """How far a task is; None when Druid knows no such task."""
        reply = self._http.get(f"{_TASKS}/task/{quote(task_id, safe='')}/status")
        if reply.status == 404:
            return None
        status = _part(reply, "status")
        if not isinstance(status, Mapping):
            raise self._http.refused(f"the state of task {task_id}", reply)
        code = status.get("statusCode")
        if code not in {"RUNNING", "SUCCESS", "FAILED"}:
            raise self._http.refused(f"the state of task {task_id}", reply)
        return TaskState(code, _JAVA_CLASS.sub("", shortened(str(status.get("errorMsg") or ""))))

    def shut_down(self, task_id: str) -> None:
        """Ask for the end of a task; one that has ended, or is unknown, stays as it is."""
        reply = self._http.post(f"{_TASKS}/task/{quote(task_id, safe='')}/shutdown", {})
        if not reply.succeeded and reply.status != 404:
            raise self._http.refused(f"the end of task {task_id}", reply)

    def row_stats(self, task_id: str) -> RowStats | None:
        """What became of the task's rows; None while there is no report."""
        reply = self._http.get(f"{_TASKS}/task/{quote(task_id, safe='')}/reports")
        payload = _part(_part(reply, "ingestionStatsAndErrors"), "payload")
        stats = _part(_part(payload, "rowStats"), "buildSegments")
        if not isinstance(stats, Mapping):
            return None
        keys = ("processed", "processedWithError", "thrownAway", "unparseable")
        return RowStats(*(int(stats.get(key, 0)) for key in keys))

    def running_tasks(self, datasource: str) -> list[str]:
        """The ids of all tasks that work on a datasource, or wait to."""
        ids: list[str] = []
        for state in ("running", "pending", "waiting"):
            reply = self._http.get(f"{_TASKS}/tasks?datasource={quote(datasource, safe='')}&state={state}")
            if not reply.succeeded or not isinstance(reply.document, list):
                raise self._http.refused(f"the tasks of {datasource}", reply)
            ids += [str(task["id"]) for task in reply.document]
        return ids

    def _post(self, task: Mapping[str, Any]) -> bool:
        """Whether the task was new."""
        reply = self._http.post(f"{_TASKS}/task", task)
        if reply.succeeded:
            return True
        if reply.status == 400 and _part(reply, "errorCode") == _ALREADY_THERE:
            return False
        raise self._http.refused(f"task {task['id']}", reply)

    def _kind(self, task_id: str) -> str:
        reply = self._http.get(f"{_TASKS}/task/{quote(task_id, safe='')}")
        kind = _part(_part(reply, "payload"), "type")
        if not isinstance(kind, str):
            raise WorldError("druid.refused", f"{self._http.url} has task {task_id}, but does not tell what it is")
        return kind


def _part(whole: Any, name: str) -> Any:
    document = whole.document if isinstance(whole, Reply) else whole
    return document.get(name) if isinstance(document, Mapping) else None

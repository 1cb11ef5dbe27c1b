"""A Druid in memory that does at once what it is told: tasks, segments in one chunk of all time, and counts.

It stands in for the three adapters that talk to Druid, so that what is done between the calls can be broken off at
every one of them, thousands of times. What Druid really does is tested on Druid.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from metricfoundry_dagster.adapters.druid_overlord import RowStats, TaskState
from metricfoundry_dagster.adapters.druid_segments import SeenRows
from metricfoundry_dagster.domain.errors import FencedError, WorldError
from metricfoundry_dagster.pipeline.serving.druid_task import DimensionType, ParallelTask
from metricfoundry_dagster.pipeline.serving.time_chunks import ETERNITY, TimeRange

_CONSTANT = re.compile(r"'(.*)'")
_IN_PATH = re.compile(r"datasets/([a-z][a-z0-9_]*--[a-z2-7]{16})/")


@dataclass
class _Segment:
    name: str
    version: int
    rows: dict[str, int]
    used: bool = True


@dataclass
class MemoryDruid:
    """Stands in for `DruidOverlord`, `DruidSegments` and `DruidSql` at once.

    `failing` names datasources whose tasks fail, `refusing` those whose segments are not told.
    A task is running for as many looks as `slow_looks` says, and does its work at the last of them.
    """

    tasks: dict[str, tuple[str, RowStats]] = field(default_factory=dict)
    segments: dict[str, _Segment] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    slow_looks: int = 0
    _running: dict[str, tuple[int, ParallelTask]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=count)
    _columns: dict[str, set[str]] = field(default_factory=dict)

    # The Overlord

    def require_there(self) -> None:
        """It is always there."""

    def submit(self, task: ParallelTask) -> None:
        if task["id"] in self.tasks:
            if self.tasks[task["id"]][0] == "noop":
                raise FencedError("attempt.fenced", "the id was used up")
            return
        if task["spec"]["dataSchema"]["dataSource"] in self.failing:
            self.tasks[task["id"]] = ("FAILED", RowStats(0, 0, 0, 0))
            return
        if self.slow_looks:
            self.tasks[task["id"]] = ("RUNNING", RowStats(0, 0, 0, 0))
            self._running[task["id"]] = (self.slow_looks, task)
            return
        self.tasks[task["id"]] = ("SUCCESS", self._take_in(task))

    def use_up(self, task_id: str) -> None:
        self.tasks.setdefault(task_id, ("noop", RowStats(0, 0, 0, 0)))

    def state(self, task_id: str) -> TaskState | None:
        if task_id not in self.tasks:
            return None
        if task_id in self._running:
            looks, task = self._running.pop(task_id)
            if looks > 1:
                self._running[task_id] = (looks - 1, task)
                return TaskState("RUNNING")
            self.tasks[task_id] = ("SUCCESS", self._take_in(task))
        return TaskState("FAILED" if self.tasks[task_id][0] == "FAILED" else "SUCCESS")

    def shut_down(self, task_id: str) -> None:
        if self._running.pop(task_id, None):
            self.tasks[task_id] = ("FAILED", RowStats(0, 0, 0, 0))

    def row_stats(self, task_id: str) -> RowStats | None:
        return self.tasks[task_id][1]

    def running_tasks(self, _datasource: str) -> list[str]:
        return []

    # Segments

    def used(self, name: str) -> frozenset[str]:
        if name in self.refusing:
            raise WorldError("druid.refused", f"the segments of {name}")
        return frozenset(id_ for id_, segment in self.segments.items() if segment.name == name and segment.used)

    def seen(self, name: str, dataset_ids: Collection[str] = ()) -> dict[str, SeenRows]:
        return {
            id_: SeenRows(sum(segment.rows.values()), sum(segment.rows.get(dataset_id, 0) for dataset_id in dataset_ids))
            for id_, segment in self._visible(name).items()
        }

    def span(self, _name: str) -> TimeRange | None:
        return None

    def unloaded(self, _name: str) -> str | None:
        return None

    def columns(self, _name: str) -> dict[str, DimensionType]:
        return {}

    def mark_used(self, name: str, ids: Collection[str]) -> None:
        for id_ in sorted(ids, key=lambda id_: -self.segments[id_].version):
            visible = self._visible(name).values()
            self.segments[id_].used = all(segment.version <= self.segments[id_].version for segment in visible)

    def mark_unused(self, _name: str, ids: Collection[str]) -> None:
        for id_ in ids:
            self.segments[id_].used = False

    # Counts

    def count(self, name: str, dataset_ids: Collection[str]) -> dict[str, int] | None:
        rows = self.rows(name)
        return {dataset_id: rows.get(dataset_id, 0) for dataset_id in dataset_ids} if rows else None

    def known_columns(self, name: str) -> frozenset[str]:
        return frozenset(self._columns.get(name, ()))

    def rows(self, name: str) -> dict[str, int]:
        """What readers see, by dataset."""
        rows: dict[str, int] = {}
        for segment in self._visible(name).values():
            for dataset_id, number in segment.rows.items():
                rows[dataset_id] = rows.get(dataset_id, 0) + number
        return rows

    def _visible(self, name: str) -> dict[str, _Segment]:
        used = {id_: segment for id_, segment in self.segments.items() if segment.name == name and segment.used}
        newest = max((segment.version for segment in used.values()), default=0)
        return {id_: segment for id_, segment in used.items() if segment.version == newest}

    def _take_in(self, task: ParallelTask) -> RowStats:
        schema, io = task["spec"]["dataSchema"], task["spec"]["ioConfig"]
        name, source = schema["dataSource"], io["inputSource"]
        left_out = 0
        rows: dict[str, int] = {}
        if source["type"] == "druid":
            rows = self.rows(name)
            field_: Any = schema["transformSpec"]["filter"]["field"]
            left_out = sum(rows.pop(dataset_id, 0) for dataset_id in field_["values"])
        elif source["type"] == "local":
            rows = _rows_of(source["files"], schema["transformSpec"]["transforms"][-1]["expression"])
        self._columns.setdefault(name, set()).update(column["name"] for column in schema["dimensionsSpec"]["dimensions"])
        number = next(self._numbers)
        newest = max((segment.version for segment in self._visible(name).values()), default=0)
        version = newest if io["appendToExisting"] and newest else number + 1
        self.segments[f"{name}_{ETERNITY.replace('/', '_')}_{version}_{number}"] = _Segment(name, version, rows)
        return RowStats(sum(rows.values()), 0, left_out, 0)


def _rows_of(files: Sequence[str], expression: str) -> dict[str, int]:
    constant = _CONSTANT.fullmatch(expression)
    rows: dict[str, int] = {}
    for path in files:
        found = _IN_PATH.search(path)
        dataset_id = constant.group(1) if constant else found.group(1) if found else ""
        rows[dataset_id] = rows.get(dataset_id, 0) + pq.read_metadata(Path(path)).num_rows
    return rows


class Watched:
    """Tells a hook of each call of another object's methods before it is made: where a process may die or sleep.

    Between two calls nothing happens that others could see, so that this stands for dying after a call as well.
    """

    def __init__(self, watched: object, hook: Callable[[str], object]) -> None:
        self._watched = watched
        self._hook = hook

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._watched, name)

        def told(*arguments: Any, **options: Any) -> Any:
            self._hook(name)
            return method(*arguments, **options)

        return told

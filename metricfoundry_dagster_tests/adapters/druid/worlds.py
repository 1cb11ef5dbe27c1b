"""A catalog, a store and a Druid in memory, and writers who die there at a given call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pyarrow as pa

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog
from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.adapters.druid_parts import DruidParts, DruidTimeouts
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.datasets import Mode, NewDataset
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Servable
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_druid import MemoryDruid, Watched
from metricfoundry_dagster_tests.port_contracts.engines.served import Served

TIMEOUTS = DruidTimeouts(task_seconds=5, load_seconds=5)
LONG = timedelta(days=1)


class DiedError(BaseException):
    """The process ends here."""


@dataclass
class World:
    """A catalog, a store and a Druid, and writers in them that may die at any call."""

    catalog: SqlCatalog
    store: FsspecStore
    druid: MemoryDruid = field(default_factory=MemoryDruid)
    clock: FixedClock = field(default_factory=FixedClock)
    #: Jobs of datasets that are registered, and what happens when an engine makes a call for the first time.
    jobs: list[str] = field(default_factory=list)
    at: dict[str, Callable[[], object]] = field(default_factory=dict)

    def engine(self, hook: Callable[[str], object] = lambda _: None) -> DruidEngine:
        """An engine of a process of its own; `hook` is told of each of its calls."""

        def told(name: str) -> None:
            self.at.pop(name, lambda: None)()
            hook(name)

        catalog: Any = Watched(self.catalog, told)
        druid: Any = Watched(self.druid, told)
        return DruidEngine(DruidParts(druid, druid, druid, catalog, self.store, self.clock, TIMEOUTS))

    def servable(self, sequence: int, rows: int, **wishes: Any) -> Servable:
        """A dataset of `rows` rows."""
        table = {"t": pa.table({"n": pa.array(range(rows), pa.int64())})}
        return Served(self.engine(), self.store).servable(table, sequence=sequence, **wishes)

    def registered(self, sequence: int, rows: int, mode: Mode) -> Servable:
        """A dataset that the catalog knows; its job is processing."""
        servable, now = self.servable(sequence, rows, mode=mode), self.clock.now()
        new = NewDataset(servable.dataset_id, "sales", "sales", mode, f"file:///{sequence}", "1", "a.csv", 1)
        self.catalog.register([new], now)
        self.jobs.append(self.catalog.open_job(servable.dataset_id, f"run-{sequence}", None, None, now).job.job_id)
        return servable

    def cancel(self, job_id: str) -> object:
        """As a person would."""
        return self.catalog.close_job(job_id, JobState.CANCELED, None, self.clock.now())

    def abandon(self) -> None:
        """Let time pass until nobody waits for the one who died."""
        for job_id in self.jobs:
            self.cancel(job_id)
        self.clock.advance(LONG)

    def is_consistent(self) -> bool:
        """Whether readers see exactly the current version, and nothing is announced any more."""
        current = self.catalog.current_version("sales")
        recorded: dict[str, dict[str, int]] = {}
        for member in current.members if current else ():
            for table in member.tables:
                if table.rows:
                    recorded.setdefault(table.name, {})[member.dataset_id] = table.rows
        names = {segment.name for segment in self.druid.segments.values()} | set(recorded)
        seen = {name: self.druid.rows(name) for name in names if self.druid.rows(name)}
        return seen == recorded and self.catalog.all_announcements() == []


def die() -> None:
    """End the process."""
    raise DiedError


def dying_at(number: int) -> Callable[[str], object]:
    """A hook that ends the process at one of its calls, counted from 1, and at every later one."""
    calls = iter(range(1, 1_000_000))

    def hook(_: str) -> None:
        if next(calls) >= number:
            raise DiedError

    return hook


def dies(engine: DruidEngine, work: Callable[[DruidEngine], object]) -> bool:
    """Whether the process died before its work was done."""
    try:
        work(engine)
    except DiedError:
        return True
    return False

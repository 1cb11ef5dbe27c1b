"""Whatever dies, sleeps or is refused while it serves in Druid: at the end readers see exactly what the catalog says.

On a Druid in memory, so that every single call can be the one at which the process ends; see `test_dying_writers` for
the same on Druid.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog, open_catalog
from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.adapters.druid_parts import DruidParts, DruidTimeouts
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.datasets import Mode, NewDataset
from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.domain.served import Servable, Serving
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


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[Callable[[], World]]:
    template = open_catalog(f"sqlite:///{tmp_path / 'template.db'}")
    template.upgrade()
    template.close()
    opened: list[SqlCatalog] = []

    def make() -> World:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        shutil.copy(tmp_path / "template.db", folder / "catalog.db")
        opened.append(open_catalog(f"sqlite:///{folder / 'catalog.db'}"))
        return World(opened[-1], FsspecStore({root: str(folder / root) for root in Root}))

    yield make
    for catalog in opened:
        catalog.close()


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


Scene = tuple[Callable[[World], object], Callable[[World, DruidEngine], object], Callable[[World], object]]


def replace_one(world: World) -> object:
    return world.engine().serve(world.servable(1, 3))


def replace_another(world: World, engine: DruidEngine) -> object:
    return engine.serve(world.servable(2, 5))


def replace_again(world: World) -> object:
    return world.engine().serve(world.servable(2, 6, attempt=2))


def append_two(world: World) -> object:
    return world.engine().serve_all([world.servable(n, n, mode=Mode.APPEND) for n in (1, 2)])


def append_three(world: World, engine: DruidEngine) -> object:
    return engine.serve_all([world.servable(n, n, mode=Mode.APPEND) for n in (3, 4, 5)])


def append_each(world: World) -> object:
    return [world.engine().serve(world.servable(n, n + 10, mode=Mode.APPEND, attempt=2)) for n in (3, 4, 5)]


def append_newer(world: World, engine: DruidEngine) -> object:
    return engine.serve(world.servable(2, 7, mode=Mode.APPEND, attempt=2))


def append_newest(world: World) -> object:
    return world.engine().serve(world.servable(2, 9, mode=Mode.APPEND, attempt=3))


def roll_back(_: World, engine: DruidEngine) -> object:
    return engine.rollback("sales")


def replace_two(world: World) -> object:
    return [world.engine().serve(world.servable(n, n)) for n in (1, 2)]


def late_cancel(mode: Mode) -> Scene:
    """Two of a batch, the last of which is canceled when Druid has taken it in."""
    servables: dict[str, list[Servable]] = {}

    def begin(world: World) -> None:
        servables["batch"] = [world.registered(n, n, mode) for n in (1, 2)]
        world.at["add_versions"] = lambda: world.cancel(world.jobs[-1])

    def work(_: World, engine: DruidEngine) -> object:
        return engine.serve_all(servables["batch"])

    return begin, work, lambda world: world.engine().serve(world.servable(4, 4, mode=mode))


SCENES: dict[str, Scene] = {
    "replace by a batch": late_cancel(Mode.REPLACE),
    "append a batch with a late cancel": late_cancel(Mode.APPEND),
    "replace": (replace_one, replace_another, replace_again),
    "append a batch": (append_two, append_three, append_each),
    "append a newer attempt": (append_two, append_newer, append_newest),
    "roll back a replacement": (replace_two, roll_back, lambda world: world.engine().serve(world.servable(3, 4))),
    "roll back an append": (append_two, roll_back, lambda world: world.engine().serve(world.servable(3, 4, mode=Mode.APPEND))),
}


@pytest.mark.parametrize("scene", SCENES)
def test_a_writer_may_die_at_every_call(new_world: Callable[[], World], scene: str) -> None:
    begin, work, recover = SCENES[scene]
    for number in range(1, 1_000):
        world = new_world()
        begin(world)
        died = dies(world.engine(dying_at(number)), lambda engine, world=world: work(world, engine))  # type: ignore[misc] # a lambda's default
        if not died:
            assert world.is_consistent()
            break
        world.abandon()
        recover(world)
        assert world.is_consistent(), f"after dying at call {number}"
    assert number > 10


@pytest.mark.parametrize("scene", SCENES)
def test_who_clears_up_may_die_as_well(new_world: Callable[[], World], scene: str) -> None:
    begin, work, _ = SCENES[scene]
    for number in range(6, 60, 4):
        for second in range(3, 60, 5):
            world = new_world()
            begin(world)
            if not dies(world.engine(dying_at(number)), lambda engine, world=world: work(world, engine)):  # type: ignore[misc] # as above
                return
            world.abandon()
            died = dies(world.engine(dying_at(second)), lambda engine: engine.settle_abandoned())
            world.engine().settle_abandoned()
            assert world.is_consistent(), f"after dying at calls {number} and {second}"
            if not died:
                break


@pytest.mark.parametrize("scene", SCENES)
def test_a_writer_who_sleeps_while_others_take_over_changes_nothing_any_more(new_world: Callable[[], World], scene: str) -> None:
    """At every call: paused there, settled and overtaken by another, and awake again."""
    begin, work, recover = SCENES[scene]
    for number in range(1, 1_000):
        world = new_world()
        begin(world)
        asleep, awake = threading.Event(), threading.Event()
        calls = iter(range(1, 1_000_000))

        def hook(
            _: str, asleep: threading.Event = asleep, awake: threading.Event = awake, calls: Any = calls, number: int = number
        ) -> None:
            if next(calls) == number:
                asleep.set()
                awake.wait(60)

        ended: list[object] = []
        sleeper = threading.Thread(
            target=_work_to_the_end, args=(lambda engine, world=world: work(world, engine), world.engine(hook), ended)
        )
        sleeper.start()
        while not asleep.wait(0.01) and sleeper.is_alive():
            pass
        if not asleep.is_set():
            assert isinstance(ended[0], str)
            break
        world.abandon()
        recover(world)
        assert world.is_consistent(), f"while one sleeps at call {number}"
        awake.set()
        sleeper.join()
        assert world.is_consistent(), f"after waking up at call {number}: {ended}"
    assert number > 10


def _work_to_the_end(work: Callable[[DruidEngine], object], engine: DruidEngine, ended: list[object]) -> None:
    try:
        work(engine)
        ended.append("done")
    except MetricFoundryError as error:
        ended.append(error)


@pytest.mark.parametrize("mode", Mode)
def test_one_of_a_batch_that_is_canceled_at_the_last_moment_holds_up_nobody(new_world: Callable[[], World], mode: Mode) -> None:
    """Its worker may have died by then, so that no job is at work any more, and Druid needs a while for each task."""
    begin, work, _ = late_cancel(mode)
    world = new_world()
    begin(world)
    outcomes: Any = work(world, world.engine())
    assert [isinstance(outcome, Serving) for outcome in outcomes] == [True, False]
    assert world.is_consistent()
    begin, work, recover = late_cancel(mode)
    world = new_world()
    world.druid.slow_looks = 3
    begin(world)
    world.at["recorded"] = die
    assert dies(world.engine(), lambda engine: work(world, engine))
    world.abandon()
    recover(world)
    assert world.is_consistent()

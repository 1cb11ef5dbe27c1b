"""Whatever dies, sleeps or is refused while it serves in Druid: at the end readers see exactly what the catalog says.

On a Druid in memory, so that every single call can be the one at which the process ends; see `test_dying_writers` for
the same on Druid.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.domain.served import Servable, Serving
from metricfoundry_dagster_tests.adapters.druid.worlds import World, die, dies, dying_at

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

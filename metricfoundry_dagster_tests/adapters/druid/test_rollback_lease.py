"""A rollback has no job that tells whether it is at work: it says so itself, and is soon settled when it died."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.adapters.druid_parts import DruidParts, DruidTimeouts
from metricfoundry_dagster_tests.adapters.druid.worlds import TIMEOUTS, DiedError, World, dies
from metricfoundry_dagster_tests.fakes.memory_druid import Watched


def served_twice(world: World) -> None:
    """So that there is something to go back to."""
    for sequence in (1, 2):
        world.engine().serve(world.servable(sequence, sequence))


def engine_of(world: World, hook: Callable[[str], object], timeouts: DruidTimeouts) -> DruidEngine:
    """An engine of a process of its own, which waits as long as it is told."""
    catalog: Any = Watched(world.catalog, hook)
    druid: Any = world.druid
    return DruidEngine(DruidParts(druid, druid, druid, catalog, world.store, world.clock, timeouts))


def test_a_rollback_that_died_is_settled_after_a_minute(new_world: Callable[[], World]) -> None:
    world = new_world()
    served_twice(world)

    def killed(name: str) -> None:
        if name in {"conclude_rollback", "announcement"}:  # it does not clear up either
            raise DiedError

    patient = engine_of(world, killed, replace(TIMEOUTS, task_seconds=3_600))
    assert dies(patient, lambda engine: engine.rollback("sales"))
    assert world.engine().settle_abandoned() == []
    world.clock.advance(timedelta(seconds=61))
    assert world.engine().settle_abandoned() == ["sales"]
    assert world.is_consistent()


def test_a_rollback_that_takes_long_stays_at_work(new_world: Callable[[], World]) -> None:
    world = new_world()
    served_twice(world)
    renewals = threading.Semaphore(0)
    at_work: list[bool] = []

    def hook(name: str) -> None:
        if name == "renew":
            renewals.release()
        if name == "conclude_rollback":
            world.clock.advance(timedelta(days=1))
            while renewals.acquire(blocking=False):
                pass
            # Told of before it is made: the first may have looked at the clock before, the second is made at the third.
            assert all(renewals.acquire(timeout=60) for _ in range(3))
            standing = world.catalog.announcement("sales")
            at_work.append(standing is not None and world.catalog.is_at_work(standing, world.clock.now()))

    engine_of(world, hook, replace(TIMEOUTS, lease_seconds=0.3)).rollback("sales")
    assert at_work == [True]
    assert world.is_consistent()

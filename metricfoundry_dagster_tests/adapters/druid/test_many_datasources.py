"""Many datasources at once: what keeps one of them from being served, or from being settled, keeps no other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metricfoundry_dagster.adapters.druid_engine import AWAY_FOR_ALL, DruidEngine
from metricfoundry_dagster.adapters.druid_parts import DruidParts
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.served import Serving
from metricfoundry_dagster.pipeline.flow import SERVERS_AWAY
from metricfoundry_dagster_tests.adapters.druid.worlds import TIMEOUTS, World, die, dies

NAMES = ("sales", "stock", "people")


def serve_all(world: World) -> list[str]:
    """Serve two datasets of each; give what came of them, in words."""
    outcomes = world.engine().serve_all([world.servable(n, n, datasource=name) for n in (1, 2) for name in NAMES])
    return ["served" if isinstance(outcome, Serving) else outcome.code for outcome in outcomes]


def test_a_datasource_that_druid_does_not_take_keeps_no_other(new_world: Callable[[], World]) -> None:
    world = new_world()
    world.druid.failing = {"stock"}
    assert serve_all(world) == ["served", "druid.task_failed", "served"] * 2
    assert [world.catalog.current_version(name) is not None for name in NAMES] == [True, False, True]
    assert world.catalog.all_announcements() == []


def test_a_refusal_is_the_outcome_of_whom_it_is_for_even_when_it_is_for_all(new_world: Callable[[], World]) -> None:
    world = new_world()
    world.druid.refusing = set(NAMES)
    assert serve_all(world) == ["druid.refused"] * 6


def test_druid_counts_as_away_when_no_datasource_is_served(new_world: Callable[[], World]) -> None:
    world = new_world()
    world.druid.failing = set(NAMES)
    with pytest.raises(WorldError, match=r"druid\.task_failed"):
        serve_all(world)
    assert AWAY_FOR_ALL <= SERVERS_AWAY, "so that the flow tries again what the engine takes for its being away"


def abandoned(world: World) -> None:
    """Let a writer die at each datasource when Druid has its rows."""
    for name in NAMES:
        world.at["add_versions"] = die
        assert dies(world.engine(), lambda engine, name=name: engine.serve(world.servable(1, 2, datasource=name)))  # type: ignore[misc] # a lambda's default
    world.abandon()


def test_a_datasource_that_cannot_be_settled_keeps_no_other(new_world: Callable[[], World]) -> None:
    world = new_world()
    abandoned(world)
    world.druid.refusing = {"stock"}
    with pytest.raises(WorldError, match=r"druid\.refused.*stock|stock.*druid\.refused"):
        world.engine().settle_abandoned()
    assert [standing.datasource for standing in world.catalog.all_announcements()] == ["stock"]
    assert [world.druid.rows(name) != {} for name in NAMES] == [False, True, False]
    world.druid.refusing = set()
    assert world.engine().settle_abandoned() == ["stock"]
    assert world.druid.rows("stock") == {}


def test_who_has_no_time_left_leaves_the_others_to_the_next_look(new_world: Callable[[], World]) -> None:
    world = new_world()
    abandoned(world)
    druid: Any = world.druid
    hasty = replace(TIMEOUTS, settle_seconds=0)
    engine = DruidEngine(DruidParts(druid, druid, druid, world.catalog, world.store, world.clock, hasty))
    looks = [engine.settle_abandoned() for _ in NAMES]
    assert sorted(name for settled in looks for name in settled) == sorted(NAMES)
    assert [len(settled) for settled in looks] == [1, 1, 1]

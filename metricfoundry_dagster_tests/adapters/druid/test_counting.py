"""Counting what was served while another writer is at the same datasource, and when rows are really gone."""

from collections.abc import Callable
from typing import Any

from metricfoundry_dagster_tests.adapters.druid.worlds import World, die, dies


def test_who_is_counted_while_a_newer_one_is_in_place_and_not_recorded_is_counted_in_its_files(
    new_world: Callable[[], World],
) -> None:
    world = new_world()
    engine = world.engine()
    serving: Any = engine.serve(world.servable(1, 3))
    counts: list[dict[str, int]] = []
    world.at["add_versions"] = lambda: counts.append(engine.count_rows(serving))
    world.engine().serve(world.servable(2, 5))
    assert counts == [{"sales": 3}]


def test_who_is_put_back_while_it_is_counted_is_counted_again(new_world: Callable[[], World]) -> None:
    """A newer one died in its place, and is settled between counting and looking who is there."""
    world = new_world()
    serving: Any = world.engine().serve(world.servable(1, 3))
    world.at["add_versions"] = die
    assert dies(world.engine(), lambda engine: engine.serve(world.servable(2, 5)))
    world.abandon()
    world.at["announcement"] = lambda: world.engine().settle_abandoned()
    assert world.engine().count_rows(serving) == {"sales": 3}


def test_rows_that_are_gone_while_nobody_writes_are_not_counted(new_world: Callable[[], World]) -> None:
    world = new_world()
    serving: Any = world.engine().serve(world.servable(1, 3))
    world.druid.mark_unused("sales", world.druid.used("sales"))
    assert world.engine().count_rows(serving) == {"sales": 0}

"""A catalog that was restored from an older copy knows less than Druid holds: rows are neither doubled nor in the way."""

from collections.abc import Callable

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster_tests.adapters.druid.worlds import World, die, dies


def older(new_world: Callable[[], World]) -> World:
    """A Druid that holds one and two, a batch, and three; and a catalog of which only one is known."""
    later, restored = new_world(), new_world()
    for world in (restored, later):
        world.engine().serve(world.servable(1, 3, mode=Mode.APPEND))
    later.engine().serve_all([later.servable(2, 4, mode=Mode.APPEND), later.servable(3, 5, mode=Mode.APPEND)])
    restored.druid = later.druid
    return restored


def test_rows_that_are_there_although_no_version_says_so_are_not_appended_again(new_world: Callable[[], World]) -> None:
    world = older(new_world)
    before = world.druid.rows("sales")
    again = world.servable(2, 4, mode=Mode.APPEND)
    assert world.engine().serve(again).current
    assert world.druid.rows("sales") == before
    assert sorted(before.values()) == [3, 4, 5]
    world.engine().serve(world.servable(3, 5, mode=Mode.APPEND))
    assert world.is_consistent()


def test_who_dies_beside_rows_of_an_unknown_dataset_is_settled(new_world: Callable[[], World]) -> None:
    world = older(new_world)
    before = world.druid.rows("sales")
    world.at["add_versions"] = die
    assert dies(world.engine(), lambda engine: engine.serve(world.servable(2, 4, mode=Mode.APPEND)))
    world.abandon()
    assert world.engine().settle_abandoned() == ["sales"]
    assert world.druid.rows("sales") == before

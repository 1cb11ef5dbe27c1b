"""A drop zone larger than one look: nothing is lost, nothing is doubled, and a look stays bounded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from metricfoundry_dagster.actions.discover import Discovery, discover
from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.engine import parse_address
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster_tests.actions.conftest import World, build_world
from metricfoundry_dagster_tests.fakes.numbered_zone import CatalogOfOld, NumberedStore, old_key

TICK = timedelta(seconds=2)
QUIET = timedelta(seconds=1)


class Watch:
    """Looks at a drop zone tick by tick, as the sensor does."""

    def __init__(self, world: World, max_keys: int = 10_000, max_registrations: int = 2_000) -> None:
        self.world, self.max_keys, self.max_registrations = world, max_keys, max_registrations
        self.cursor = ""
        self.names: list[str] = []

    def tick(self) -> Discovery:
        """One look."""
        found = discover(
            self.world.ports,
            max_registrations=self.max_registrations,
            quiet=QUIET,
            max_keys=self.max_keys,
            cursor=self.cursor,
        )
        self.world.clock.advance(TICK)
        self.cursor = found.cursor
        self.names += [dataset.source_uri.partition("incoming/")[2] for dataset in found.registered]
        return found

    def ticks_until(self, *names: str, most: int) -> int:
        """How many looks it takes until all of these are registered."""
        for number in range(most):
            if set(names) <= set(self.names):
                return number
            self.tick()
        return most if set(names) <= set(self.names) else most + 1


def large_world(folder: Path, old: int) -> tuple[World, NumberedStore, CatalogOfOld]:
    """A world whose drop zone holds many objects that were registered long ago."""
    world, store = build_world(folder), NumberedStore(old)
    catalog = CatalogOfOld(Database(parse_address(f"sqlite:///{folder}/catalog.db")))
    ports: Ports = replace(world.ports, store=store, catalog=catalog)
    return replace(world, ports=ports, store=store), store, catalog


def test_a_look_at_a_million_old_objects_reads_a_bounded_part(tmp_path: Path) -> None:
    """Requests, keys, and what the catalog is asked, at the first look and at every later one."""
    world, store, catalog = large_world(tmp_path, 1_000_000)
    watch = Watch(world)
    for number in range(5):
        for folder in ("a", "m", "z"):
            world.drop(f"{folder}/{number}-{folder}.csv")
        store.requests = catalog.asked = 0
        found = watch.tick()
        assert found.read_keys <= 11_000
        assert catalog.asked <= 11_000
        assert store.requests <= 20
        assert len(watch.cursor) < 5_000


def test_names_that_grow_are_found_at_once_among_a_million(tmp_path: Path) -> None:
    """New at one look, registered by the next: once a folder is in use, however late it comes in the round."""
    world, _, _ = large_world(tmp_path, 1_000_000)
    watch = Watch(world)
    watch.tick()
    world.drop("zoo/2026-11-20/1.csv")
    assert watch.ticks_until("zoo/2026-11-20/1.csv", most=3) == 2
    for name in ("zoo/2026-11-20/2.csv", "zoo/2026-11-21/1.csv", "zoo/2026-11-22/1.csv", "zoo/2026-11-22/2.csv"):
        world.drop(name)
        assert watch.ticks_until(name, most=3) == 2


def test_a_folder_of_a_new_datasource_is_found_at_once_among_a_million(tmp_path: Path) -> None:
    world, _, _ = large_world(tmp_path, 1_000_000)
    watch = Watch(world)
    watch.tick()
    for folder in range(30):
        world.drop(f"p{folder}/x.csv")
    assert watch.ticks_until(*(f"p{folder}/x.csv" for folder in range(30)), most=10) <= 6


def test_thousands_that_come_at_once_among_a_million_need_as_many_looks_as_registering_them(tmp_path: Path) -> None:
    world, _, _ = large_world(tmp_path, 1_000_000)
    watch = Watch(world, max_keys=2_000, max_registrations=400)
    watch.tick()
    names = [f"zoo/{number:05}.csv" for number in range(1_000)]
    for name in names:
        world.drop(name)
    assert watch.ticks_until(*names, most=10) <= 1_000 / 400 + 3
    assert len(watch.names) == 1_000


def test_any_name_is_met_within_a_round(tmp_path: Path) -> None:
    """One that sorts before everything known, in a folder that is not in use: a plain mark would lose it."""
    world, store, _ = large_world(tmp_path, 20_000)
    watch = Watch(world, max_keys=1_000)
    for _ in range(7):
        watch.tick()
    name = old_key(500).removeprefix("incoming/") + ".late.csv"
    world.drop(name)
    assert 2 < watch.ticks_until(name, most=200) <= 20_000 / 125 + 2
    store.requests = 0
    watch.tick()
    assert store.requests <= 5


def test_without_its_cursor_a_look_begins_at_the_beginning_and_doubles_nothing(tmp_path: Path) -> None:
    world, _, _ = large_world(tmp_path, 5_000)
    watch = Watch(world, max_keys=1_000)
    world.drop("a/1.csv")
    world.drop("z/1.csv")
    for cursor in (
        "",
        "nonsense",
        "[1, 2]",
        '["x", 0, [], [["../", "y"]], "", 1]',
        '["incoming/z", 9, [["", "a", 7]], [], "", 0]',
    ):
        watch.cursor = cursor
        watch.tick()
        watch.tick()
    assert watch.ticks_until("a/1.csv", "z/1.csv", most=20) <= 20
    assert sorted(watch.names) == ["a/1.csv", "z/1.csv"]


def test_what_never_comes_to_rest_holds_up_nothing(tmp_path: Path) -> None:
    """More growing objects than a look remembers, and one behind them that is complete."""
    world, _, _ = large_world(tmp_path, 5_000)
    watch = Watch(world, max_keys=400)
    world.drop("z/last.csv")
    for number in range(200):
        for growing in range(300):
            world.drop(f"b/{growing:03}.csv", b"x" * (number + 1))
        watch.tick()
        if "z/last.csv" in watch.names:
            break
    assert watch.names == ["z/last.csv"]


NAMES = st.sampled_from([f"{folder}/{number}.csv" for folder in ("a", "b/x", "b/y", "c", "d/e/f") for number in range(6)])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.integers(0, 3)),
        st.tuples(st.just("delete"), NAMES, st.just(0)),
        st.tuples(st.just("tick"), st.just(""), st.integers(1, 3)),
        st.tuples(st.just("forget"), st.just(""), st.just(0)),
    ),
    max_size=40,
)
MAX_KEYS, MAX_REGISTRATIONS = 16, 3
#: Two rounds of 30 keys at the slowest, two keys at a time, and the time to register all.
MOST_TICKS = 2 * 30 // 2 + ceil(30 / MAX_REGISTRATIONS) + 3


@contextmanager
def fresh_world() -> Iterator[World]:
    with TemporaryDirectory() as folder:
        yield build_world(Path(folder))


@settings(max_examples=30, deadline=None)
@given(CHANGES)
def test_every_object_that_stays_is_registered_once_whatever_happens(changes: list[tuple[str, str, int]]) -> None:
    """Put, overwritten, deleted between looks, with cursors lost: what stays is a dataset within a bound of looks."""
    with fresh_world() as world:
        watch = Watch(world, MAX_KEYS, MAX_REGISTRATIONS)
        for kind, name, number in changes:
            if kind == "put":
                world.drop(name, b"a\n" * (number + 1))
            elif kind == "delete":
                world.store.delete(Root.UPLOADS, f"incoming/{name}")
            elif kind == "forget":
                watch.cursor = ""
            else:
                for _ in range(number):
                    watch.tick()
        present = {(info.uri, info.etag) for info in world.store.list(Root.UPLOADS, "incoming/")}
        for _ in range(MOST_TICKS):
            if present <= registered_in(world):
                break
            watch.tick()
        known = registered_in(world)
        assert present <= known
        for _ in range(3):
            watch.tick()
        assert registered_in(world) == known
        assert len(known) == len(watch.names)


def registered_in(world: World) -> set[tuple[str, str]]:
    """Address and ETag of every dataset."""
    found = world.ports.catalog.datasets(DatasetFilter(limit=1_000))
    return {(dataset.source_uri, dataset.etag) for dataset, _ in found}

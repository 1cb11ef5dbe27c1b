"""Everything that is dropped becomes one dataset, once; a bad name holds up no other."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.discover import Discovery, discover
from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.engine import parse_address
from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog
from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster_tests.actions.conftest import World


def look(world: World, max_registrations: int = 1_000, quiet: timedelta = timedelta(0)) -> Discovery:
    return discover(world.ports, max_registrations=max_registrations, quiet=quiet)


def registered(world: World, max_registrations: int = 1_000) -> list[str]:
    return [dataset.datasource for dataset in look(world, max_registrations).registered]


def test_an_object_is_registered_when_two_looks_agree(world: World) -> None:
    world.drop("sales/a.csv")
    assert registered(world) == []
    assert registered(world) == ["sales"]
    assert registered(world) == []


def test_an_object_that_is_still_being_written_waits(world: World) -> None:
    world.drop("sales/a.csv", b"a\n")
    look(world)
    world.drop("sales/a.csv", b"a\n1\n")
    assert registered(world) == []
    assert registered(world) == ["sales"]


def test_an_overwritten_object_is_a_dataset_of_its_own(world: World) -> None:
    for data in (b"a\n1\n", b"a\n2\n"):
        world.drop("sales/a.csv", data)
        look(world)
        assert registered(world) == ["sales"]
    found = world.ports.catalog.datasets(DatasetFilter(datasource="sales"))
    assert [dataset.sequence for dataset, _ in found] == [2, 1]


def test_each_dataset_has_a_waiting_job_and_keeps_its_source(world: World) -> None:
    world.drop("sales/eu/a b.csv")
    look(world)
    dataset = look(world).registered[0]
    assert (dataset.filename, dataset.size_bytes, dataset.mode) == ("a b.csv", 4, Mode.REPLACE)
    assert dataset.source_uri.endswith("incoming/sales/eu/a b.csv")
    assert [job.state for job in world.ports.catalog.jobs_of(dataset.dataset_id)] == [JobState.CREATED]


def test_hidden_and_unfinished_objects_are_never_registered(world: World) -> None:
    for name in (".hidden.csv", "sales/a.csv.part", "sales/.a.csv"):
        world.drop(name)
    look(world)
    assert look(world) == Discovery((), (), 0, read_keys=3)


def test_a_bad_name_is_refused_and_the_others_go_on(world: World) -> None:
    for name in ("a..b/x.csv", "sales/a.csv", "sales/b.csv"):
        world.drop(name)
    look(world)
    found = look(world)
    assert [dataset.filename for dataset in found.registered] == ["a.csv", "b.csv"]
    assert [(refusal.uri[-10:], refusal.error.code) for refusal in found.refused] == [("a..b/x.csv", "name.invalid")]


def test_two_names_with_one_slug_are_refused_and_the_others_go_on(world: World) -> None:
    for name in ("a-b/1.csv", "a_b/1.csv", "c/1.csv", "d/1.csv", "d/2.csv"):
        world.drop(name)
    look(world)
    found = look(world)
    assert [dataset.datasource for dataset in found.registered] == ["a_b", "c", "d", "d"]
    assert [refusal.error.code for refusal in found.refused] == ["datasource.name_taken"]
    assert len(look(world).refused) == 1


def test_a_look_registers_no_more_than_it_may(world: World) -> None:
    for position in range(5):
        world.drop(f"sales/{position}.csv")
    look(world)
    assert [len(registered(world, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_what_waits_is_counted(world: World) -> None:
    for position in range(5):
        world.drop(f"sales/{position}.csv")
    look(world)
    assert look(world, 2).waiting == 3


def test_refused_objects_do_not_use_up_the_room_of_others(world: World) -> None:
    world.drop("a_b/0.csv")
    look(world)
    assert registered(world) == ["a_b"]
    for name in ("a-b/1.csv", "a-b/2.csv", "a-b/3.csv", "z/1.csv"):
        world.drop(name)
    look(world, 1)
    assert registered(world, 1) == ["z"]


def test_a_dropped_object_follows_the_mode_of_its_datasource(world: World) -> None:
    register_source(world.ports, world.put("first.csv"), Wishes(datasource="log", mode=Mode.APPEND))
    world.drop("log/a.csv")
    look(world)
    assert [dataset.mode for dataset in look(world).registered] == [Mode.APPEND]


def test_a_store_that_is_away_is_the_worlds_error(world: World) -> None:
    world.store.away = True
    with pytest.raises(WorldError):
        look(world)


class CountingCatalog(SqlCatalog):
    """Counts how often something is registered."""

    registrations = 0

    def register(self, new: Sequence[NewDataset], now: datetime, run_id: str | None = None) -> list[Dataset]:
        self.registrations += 1
        return super().register(new, now, run_id)


def test_names_that_are_taken_cost_no_transaction(world: World, tmp_path: Path) -> None:
    """They come back at every look: thousands of them must not take the time of the others."""
    catalog = CountingCatalog(Database(parse_address(f"sqlite:///{tmp_path}/catalog.db")))
    counted = replace(world, ports=replace(world.ports, catalog=catalog))
    for number in range(50):
        counted.drop(f"a-b/{number}.csv")
        counted.drop(f"a_b/{number}.csv")
    look(counted)
    found = look(counted)
    assert (len(found.registered), len(found.refused), catalog.registrations) == (50, 50, 1)
    assert len(look(counted).refused) == 50
    assert catalog.registrations == 1


def test_a_name_that_is_no_text_is_refused_and_takes_no_name_away(world: World) -> None:
    """File systems hold any bytes."""
    for name in ("a\udce9/1.csv", "\udce9/1.csv", "a/\udce9.csv", "a/1.csv"):
        world.drop(name)
    look(world)
    found = look(world)
    assert [dataset.filename for dataset in found.registered] == ["1.csv"]
    assert [refusal.error.code for refusal in found.refused] == ["name.invalid"] * 3


def test_a_writer_that_pauses_is_waited_for(world: World) -> None:
    """Two looks may follow each other at once; an object must also have been quiet for a while."""
    quiet = timedelta(seconds=1)
    world.drop("sales/a.csv")
    assert [len(look(world, quiet=quiet).registered) for _ in range(2)] == [0, 0]
    world.clock.advance(quiet / 2)
    world.drop("sales/a.csv", b"a\n1\n2\n")
    assert look(world, quiet=quiet).registered == ()
    world.clock.advance(quiet / 2)
    assert look(world, quiet=quiet).registered == ()
    world.clock.advance(quiet / 2)
    assert len(look(world, quiet=quiet).registered) == 1

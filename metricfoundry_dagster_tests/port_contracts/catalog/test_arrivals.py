from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog
from metricfoundry_dagster.adapters.catalog.schema import arrivals, source_digest
from metricfoundry_dagster.domain.datasets import Mode, NewDataset, dataset_id_of
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.samples import LATER, NOON, dropped, new_dataset


def test_an_object_is_complete_at_the_second_look(catalog: Catalog) -> None:
    objects = [dropped("a"), dropped("b")]
    assert catalog.look(objects, NOON).complete == []
    assert catalog.look(objects, LATER).complete == objects


def test_an_object_that_still_changes_waits(catalog: Catalog) -> None:
    looks = [catalog.look([dropped("a", etag)], NOON).complete for etag in ("1", "2", "3", "3")]
    assert looks == [[], [], [], [dropped("a", "3")]]


def test_it_comes_back_until_it_is_registered(catalog: Catalog) -> None:
    """Whoever dies between looking and registering loses nothing."""
    catalog.look([dropped("a")], NOON)
    assert catalog.look([dropped("a")], NOON).complete == [dropped("a")]
    assert catalog.look([dropped("a")], NOON).complete == [dropped("a")]
    catalog.register([new_dataset("a")], NOON)
    assert catalog.look([dropped("a")], NOON).complete == []
    assert catalog.look([dropped("a")], NOON).complete == []


def test_overwritten_content_is_new_and_the_old_content_with_a_new_time_is_too(catalog: Catalog) -> None:
    for etag in ("7-10-1", "7-10-2", "7-10-3"):
        assert catalog.look([dropped("a", etag)], NOON).complete == []
        assert catalog.look([dropped("a", etag)], NOON).complete == [dropped("a", etag)]
        catalog.register([new_dataset("a", etag=etag)], NOON)
    assert [catalog.look([dropped("a", etag)], NOON).complete for etag in ("7-10-1", "7-10-2", "7-10-3")] == [[], [], []]


def test_an_object_is_complete_after_a_quiet_time(catalog: Catalog) -> None:
    """Counted from the look that first saw it as it is."""
    quiet = timedelta(seconds=10)
    looks = [(0, "1"), (9, "1"), (9, "2"), (18, "2"), (19, "2")]
    found = [catalog.look([dropped("a", etag)], NOON + timedelta(seconds=seconds), quiet).complete for seconds, etag in looks]
    assert found == [[], [], [], [], [dropped("a", "2")]]


def test_an_object_that_grows_leaves_one_row(catalog: SqlCatalog, shared_database: Database) -> None:
    for number in range(5):
        catalog.look([dropped("a", f"{number}"), dropped("b")], NOON)
    with shared_database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(arrivals)) == 2
    assert catalog.look([dropped("a", "4"), dropped("b")], NOON).complete == [dropped("a", "4"), dropped("b")]


def test_an_object_registered_by_hand_is_not_found_again(catalog: Catalog) -> None:
    catalog.register([new_dataset("a")], NOON)
    catalog.look([dropped("a"), dropped("b")], NOON)
    assert catalog.look([dropped("a"), dropped("b")], NOON).complete == [dropped("b")]


def test_looking_at_nothing_is_no_mistake(catalog: Catalog) -> None:
    assert catalog.look([], NOON).complete == []


def test_an_object_listed_twice_is_one(catalog: Catalog) -> None:
    assert catalog.look([dropped("a"), dropped("a")], NOON).complete == []
    assert catalog.look([dropped("a"), dropped("a")], NOON).complete == [dropped("a")]


def test_ten_thousand_objects_arrive_and_become_datasets_in_order(catalog: Catalog) -> None:
    objects = [dropped(f"{number}.csv") for number in range(10_000)]
    catalog.look(objects, NOON)
    assert catalog.look(objects, NOON).complete == objects
    new = [_arrived(info.uri, info.etag) for info in objects]
    assert [dataset.sequence for dataset in catalog.register(new, NOON)] == list(range(1, 10_001))
    assert catalog.look(objects, NOON).complete == []


def test_names_that_no_database_holds_can_still_be_looked_at(catalog: Catalog) -> None:
    """A file name in another encoding, as the file system gives it, must not stop the looking."""
    odd = [replace(dropped("a"), uri=uri) for uri in ("file:///caf\udce9", "file:///nul\x00", "file:///" + "long" * 2_000)]
    catalog.look(odd, NOON)
    assert catalog.look(odd, NOON).complete == odd


@given(a=st.text("a\n1"), b=st.text("a\n1"), c=st.text("a\n1"))
def test_two_sources_never_share_a_digest_by_moving_a_letter_from_address_to_etag(a: str, b: str, c: str) -> None:
    assert (source_digest(a + b, c) == source_digest(a, b + c)) == ((a + b, c) == (a, b + c))


def _arrived(uri: str, etag: str) -> NewDataset:
    return NewDataset(dataset_id_of("sales", uri, etag), "sales", "sales", Mode.REPLACE, uri, etag, "x.csv", 10)


def test_the_sql_catalog_is_a_catalog(catalog: SqlCatalog) -> None:
    implements_the_port: Catalog = catalog
    assert implements_the_port is catalog

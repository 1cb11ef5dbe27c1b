"""Announcements: writers of one datasource take turns, and what a dead one announced is found."""

from datetime import timedelta

import pytest

from metricfoundry_dagster.domain.announcements import AnnouncedTask, Announcement
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, NotFoundError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Servable
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.conftest import InChildren
from metricfoundry_dagster_tests.port_contracts.catalog.samples import (
    LATER,
    NOON,
    add_version,
    begun,
    registered,
    servable,
    served_as,
)

TASK = AnnouncedTask("mf-1", "put in", 5)


def announced(catalog: Catalog, *servables: Servable) -> Announcement:
    """An announcement of one's own."""
    own = catalog.announce(servables, NOON, LATER).own
    assert own is not None
    return own


def test_an_announcement_stands_until_it_is_withdrawn(catalog: Catalog) -> None:
    own = announced(catalog, served_as(2), served_as(1))
    assert set(own.members) == {(served_as(n).dataset_id, 1) for n in (1, 2)}
    assert (own.tasks, own.segments_before, own.target_number) == ((), None, None)
    assert catalog.announcement("sales") == own
    assert catalog.all_announcements() == [own]
    assert catalog.stands(own)
    assert catalog.withdraw(own)
    assert not catalog.withdraw(own)
    assert not catalog.stands(own)
    assert catalog.announcement("sales") is None


def test_what_is_announced_leaves_no_trace_among_the_versions(catalog: Catalog) -> None:
    announced(catalog, served_as(1))
    assert catalog.current_version("sales") is None
    assert catalog.versions("sales") == []


def test_the_outlook_says_what_would_become_of_each_dataset(catalog: Catalog) -> None:
    add_version(catalog, served_as(2))
    appended = served_as(4, mode=Mode.APPEND)
    answer = catalog.announce([served_as(1), served_as(2), served_as(3), appended], NOON, LATER)
    older, known, newer, refused = answer.outlooks
    assert (older.is_new, older.current) == (True, False)
    assert (known.is_new, known.number) == (False, 1)
    assert (newer.is_new, newer.current) == (True, True)
    assert isinstance(refused.error, ConflictError)
    assert answer.own is not None
    assert set(answer.own.members) == {(served_as(n).dataset_id, 1) for n in (1, 3)}


def test_nothing_is_announced_for_what_is_served_already_or_may_not_be(catalog: Catalog) -> None:
    add_version(catalog, served_as(1, attempt=2))
    answer = catalog.announce([served_as(1, attempt=2), served_as(1)], NOON, LATER)
    assert (answer.own, answer.in_the_way) == (None, None)
    assert isinstance(answer.outlooks[1].error, FencedError)


def test_the_same_announcement_again_is_the_one_that_stands(catalog: Catalog) -> None:
    own = announced(catalog, served_as(1), served_as(2))
    noted = catalog.note(own, tasks=[TASK], segments_before={"sales": ["b", "a"]})
    assert announced(catalog, served_as(2), served_as(1)) == noted


@pytest.mark.parametrize("numbers", [(1,), (1, 3), (3,)])
def test_another_announcement_stands_in_the_way(catalog: Catalog, numbers: tuple[int, ...]) -> None:
    own = announced(catalog, served_as(1), served_as(2))
    answer = catalog.announce([served_as(number) for number in numbers], NOON, LATER)
    assert (answer.own, answer.in_the_way) == (None, own)


def test_the_announcement_of_datasets_that_were_recorded_since_is_in_their_own_way(catalog: Catalog) -> None:
    own = announced(catalog, served_as(1))
    add_version(catalog, served_as(1))
    answer = catalog.announce([served_as(1)], NOON, LATER)
    assert (answer.own, answer.in_the_way) == (None, own)
    assert catalog.recorded(own) == set(own.members)


def test_announcements_of_other_datasources_are_in_nobodys_way(catalog: Catalog) -> None:
    announced(catalog, served_as(1))
    assert announced(catalog, servable("other--aaaaaaaaaaaaaaaa", datasource="other")).datasource == "other"
    assert [each.datasource for each in catalog.all_announcements()] == ["other", "sales"]


def test_what_is_noted_comes_back_and_only_grows(catalog: Catalog) -> None:
    own = announced(catalog, served_as(1))
    segments = {"sales": [f"sales_{number}" for number in range(1_000)], "sales__b": []}
    noted = catalog.note(own, segments_before=segments)
    assert noted.segments_before == {"sales": tuple(sorted(segments["sales"])), "sales__b": ()}
    more = catalog.note(noted, tasks=[TASK, AnnouncedTask("mf-2", "take out", 1, 2)])
    again = catalog.note(more, tasks=[TASK])
    assert [task.task_id for task in again.tasks] == ["mf-1", "mf-2"]
    assert again.segments_before == noted.segments_before
    assert catalog.announcement("sales") == again


def test_one_that_was_changed_since_cannot_be_withdrawn(catalog: Catalog) -> None:
    own = announced(catalog, served_as(1))
    noted = catalog.note(own, tasks=[TASK])
    assert not catalog.withdraw(own)
    assert catalog.withdraw(noted)


def test_nothing_is_noted_of_one_that_stands_no_more(catalog: Catalog) -> None:
    own = announced(catalog, served_as(1))
    catalog.withdraw(own)
    with pytest.raises(FencedError, match="taken over"):
        catalog.note(own, tasks=[TASK])
    announced(catalog, served_as(1))
    with pytest.raises(FencedError, match="taken over"):
        catalog.note(own, tasks=[TASK])


def test_the_jobs_of_the_members_say_who_is_at_work(catalog: Catalog) -> None:
    datasets = [registered(catalog, name, mode=Mode.APPEND) for name in ("a", "b")]
    attempts = [begun(catalog, dataset, f"run-{dataset.sequence}") for dataset in datasets]
    wanted = [servable(dataset.dataset_id, sequence=dataset.sequence, mode=Mode.APPEND) for dataset in datasets]
    own = announced(catalog, *wanted)
    assert catalog.is_at_work(own, LATER)
    catalog.close_job(attempts[0].job.job_id, JobState.CANCELED, None, NOON)
    assert catalog.is_at_work(own, LATER), "a batch goes on without the dataset that was canceled"
    catalog.close_job(attempts[1].job.job_id, JobState.FAILED, None, NOON)
    assert not catalog.is_at_work(own, NOON)


def test_a_new_attempt_ends_the_work_of_the_one_before(catalog: Catalog) -> None:
    dataset = registered(catalog)
    begun(catalog, dataset)
    own = announced(catalog, servable(dataset.dataset_id))
    begun(catalog, dataset, "run-2", parent="run-1")
    assert not catalog.is_at_work(own, NOON)


def test_who_has_no_job_is_at_work_for_as_long_as_the_announcement_is_valid(catalog: Catalog) -> None:
    own = announced(catalog, served_as(1))
    assert catalog.is_at_work(own, NOON)
    assert not catalog.is_at_work(own, LATER)


def test_one_that_is_renewed_is_valid_for_longer_and_may_still_be_withdrawn(catalog: Catalog) -> None:
    own = announced(catalog, served_as(1))
    catalog.renew(own, LATER + timedelta(days=1))
    renewed = catalog.announcement("sales")
    assert renewed is not None
    assert (renewed.valid_until, renewed.revision) == (LATER + timedelta(days=1), own.revision)
    assert catalog.withdraw(own)
    catalog.renew(own, LATER)
    assert catalog.announcement("sales") is None


def test_a_rollback_moves_the_pointer_and_withdraws_its_announcement_in_one(catalog: Catalog) -> None:
    for number in (1, 2):
        add_version(catalog, served_as(number))
    own = catalog.announce_rollback("sales", LATER).own
    assert own is not None
    assert (own.members, own.target_number) == ((), 1)
    assert catalog.is_at_work(own, NOON)
    assert catalog.conclude_rollback(own).members == (served_as(1),)
    current = catalog.current_version("sales")
    assert current is not None
    assert current.number == 1
    assert catalog.all_announcements() == []
    with pytest.raises(FencedError, match="taken over"):
        catalog.conclude_rollback(own)


def test_a_rollback_is_in_the_way_of_writers_and_of_other_rollbacks(catalog: Catalog) -> None:
    for number in (1, 2):
        add_version(catalog, served_as(number))
    own = catalog.announce_rollback("sales", LATER).own
    assert catalog.announce([served_as(3)], NOON, LATER).in_the_way == own
    assert catalog.announce_rollback("sales", LATER).in_the_way == own


def test_there_must_be_something_to_go_back_to(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match=r"datasource\.not_found"):
        catalog.announce_rollback("sales", LATER)
    add_version(catalog, served_as(1))
    with pytest.raises(ConflictError, match=r"datasource\.no_earlier_version"):
        catalog.announce_rollback("sales", LATER)


def test_of_many_who_announce_at_once_one_alone_does(catalog: Catalog, in_children: InChildren) -> None:
    """Each child that has made an announcement ends well; the others find one in the way."""

    def announce(number: int) -> None:
        assert catalog.announce([served_as(number)], NOON, LATER).own is not None

    statuses = in_children([lambda number=number: announce(number) for number in range(1, 7)])  # type: ignore[misc] # a lambda's default
    assert sorted(statuses) == [0, 1, 1, 1, 1, 1]
    assert len(catalog.all_announcements()) == 1

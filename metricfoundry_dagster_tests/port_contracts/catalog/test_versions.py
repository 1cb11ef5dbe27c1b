"""Versions of datasources and the pointer to the one that readers see."""

import pytest

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, NotFoundError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Version
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.samples import (
    LATER,
    NOON,
    begun,
    new_dataset,
    registered,
    servable,
    served_as,
)

APPEND = Mode.APPEND


def test_a_version_comes_back_as_it_was_made(catalog: Catalog) -> None:
    version, current = catalog.add_version(served_as(1), NOON)
    assert (version, current) == (Version("sales", 1, (served_as(1),), NOON), True)
    assert catalog.current_version("sales") == version
    assert catalog.versions("sales") == [version]


def test_nothing_is_served_at_first(catalog: Catalog) -> None:
    assert catalog.current_version("sales") is None
    assert (catalog.versions("sales"), catalog.current_versions()) == ([], [])


def test_the_newer_dataset_replaces_the_older(catalog: Catalog) -> None:
    for number in (1, 2):
        version, current = catalog.add_version(served_as(number), NOON)
        assert (version.number, version.members, current) == (number, (served_as(number),), True)
    assert [version.number for version in catalog.versions("sales")] == [2, 1]


def test_a_late_retry_of_an_older_dataset_never_wins(catalog: Catalog) -> None:
    catalog.add_version(served_as(5), NOON)
    late, current = catalog.add_version(served_as(3), LATER)
    assert (late.number, late.members, current) == (2, (served_as(3),), False)
    assert _current(catalog) == [5]
    assert len(catalog.versions("sales")) == 2


def test_a_new_attempt_of_the_same_dataset_becomes_current(catalog: Catalog) -> None:
    catalog.add_version(served_as(1), NOON)
    version, current = catalog.add_version(served_as(1, attempt=2), NOON)
    assert (version.number, version.members, current) == (2, (served_as(1, attempt=2),), True)


@pytest.mark.parametrize("mode", Mode)
def test_the_same_attempt_again_changes_nothing(catalog: Catalog, mode: Mode) -> None:
    first = catalog.add_version(served_as(1, mode=mode), NOON)
    assert catalog.add_version(served_as(1, mode=mode), LATER) == first
    assert len(catalog.versions("sales")) == 1


def test_the_same_late_attempt_again_changes_nothing(catalog: Catalog) -> None:
    catalog.add_version(served_as(2), NOON)
    late = catalog.add_version(served_as(1), NOON)
    assert catalog.add_version(served_as(1), LATER) == late
    assert late[1] is False


def test_appended_datasets_are_all_there_once_in_the_order_of_their_registration(catalog: Catalog) -> None:
    for number in (2, 1, 3):
        catalog.add_version(served_as(number, mode=APPEND), NOON)
    version, current = catalog.add_version(served_as(1, attempt=2, mode=APPEND), NOON)
    assert (version.number, current) == (4, True)
    assert [(member.sequence, member.attempt) for member in version.members] == [(1, 2), (2, 1), (3, 1)]
    assert version.rows == 6
    assert [len(version.members) for version in catalog.versions("sales")] == [3, 3, 2, 1]


def test_an_attempt_that_is_still_among_the_appended_is_given_with_the_current_version(catalog: Catalog) -> None:
    catalog.add_version(served_as(1, mode=APPEND), NOON)
    newest, _ = catalog.add_version(served_as(2, mode=APPEND), NOON)
    assert catalog.add_version(served_as(1, mode=APPEND), NOON) == (newest, True)


@pytest.mark.parametrize("mode", Mode)
def test_stepping_back_twice_goes_two_back(catalog: Catalog, mode: Mode) -> None:
    for number in (1, 2, 3):
        catalog.add_version(served_as(number, mode=mode), NOON)
    assert [catalog.step_back("sales").number for _ in range(2)] == [2, 1]
    assert catalog.current_version("sales") == catalog.versions("sales")[-1]
    with pytest.raises(ConflictError, match=r"\[datasource\.no_earlier_version\]"):
        catalog.step_back("sales")


def test_stepping_back_passes_over_versions_that_readers_never_saw(catalog: Catalog) -> None:
    for number in (1, 5, 3, 6):
        catalog.add_version(served_as(number), NOON)
    catalog.step_back("sales")
    assert _current(catalog) == [5]
    catalog.step_back("sales")
    assert _current(catalog) == [1]


def test_stepping_back_never_leads_to_a_version_that_was_stepped_back_from(catalog: Catalog) -> None:
    for number in (1, 2):
        catalog.add_version(served_as(number), NOON)
    catalog.step_back("sales")
    catalog.add_version(served_as(3), NOON)
    assert _current(catalog) == [3]
    catalog.step_back("sales")
    assert _current(catalog) == [1]


def test_what_was_never_served_cannot_be_stepped_back(catalog: Catalog) -> None:
    registered(catalog)
    with pytest.raises(NotFoundError, match=r"\[datasource\.not_found\]"):
        catalog.step_back("sales")


def test_after_a_rollback_an_older_dataset_than_the_one_served_still_does_not_win(catalog: Catalog) -> None:
    for number in (2, 3):
        catalog.add_version(served_as(number), NOON)
    catalog.step_back("sales")
    assert catalog.add_version(served_as(1), NOON)[1] is False
    assert _current(catalog) == [2]


def test_the_same_attempt_does_not_undo_a_rollback_but_a_retry_does(catalog: Catalog) -> None:
    for number in (1, 2):
        catalog.add_version(served_as(number), NOON)
    catalog.step_back("sales")
    version, current = catalog.add_version(served_as(2), LATER)
    assert (version.number, current, _current(catalog)) == (2, False, [1])
    version, current = catalog.add_version(served_as(2, attempt=2), LATER)
    assert (version.number, current, _current(catalog)) == (3, True, [2])


def test_after_a_rollback_an_appended_dataset_adds_to_what_readers_see(catalog: Catalog) -> None:
    for number in (1, 2):
        catalog.add_version(served_as(number, mode=APPEND), NOON)
    catalog.step_back("sales")
    catalog.add_version(served_as(3, mode=APPEND), NOON)
    assert _current(catalog) == [1, 3]
    assert catalog.step_back("sales").number == 1


def test_an_older_attempt_is_fenced_once_a_newer_one_is_served(catalog: Catalog) -> None:
    catalog.add_version(served_as(1, attempt=2, mode=APPEND), NOON)
    with pytest.raises(FencedError, match=r"attempt 1 of .* may not be served, there is attempt 2 \[attempt\.fenced\]"):
        catalog.add_version(served_as(1, mode=APPEND), NOON)


def test_an_older_attempt_is_fenced_once_a_newer_one_has_begun(catalog: Catalog) -> None:
    dataset = registered(catalog)
    begun(catalog, dataset, "run-1")
    begun(catalog, dataset, "run-2")
    with pytest.raises(FencedError, match=r"\[attempt\.fenced\]"):
        catalog.add_version(servable(dataset.dataset_id, attempt=1), NOON)
    assert catalog.current_version("sales") is None
    assert catalog.add_version(servable(dataset.dataset_id, attempt=2), NOON)[1]


@pytest.mark.parametrize("state", [JobState.CANCELED, JobState.FAILED])
def test_a_job_that_has_ended_serves_nothing(catalog: Catalog, state: JobState) -> None:
    """It was canceled, or held for lost, while its worker was about to serve."""
    attempt = begun(catalog, registered(catalog))
    catalog.close_job(attempt.job.job_id, state, None, NOON)
    with pytest.raises(FencedError, match=rf"is {state} and may not serve \[attempt\.fenced\]"):
        catalog.add_version(servable(attempt.dataset.dataset_id), NOON)
    assert catalog.current_version("sales") is None


def test_the_other_mode_than_the_one_served_is_refused(catalog: Catalog) -> None:
    catalog.add_version(served_as(1), NOON)
    with pytest.raises(ConflictError, match=r"kept in mode replace, not append \[datasource\.mode_conflict\]"):
        catalog.add_version(served_as(2, mode=APPEND), NOON)
    assert len(catalog.versions("sales")) == 1


def test_the_other_mode_than_the_one_registered_is_refused(catalog: Catalog) -> None:
    catalog.register([new_dataset(mode=APPEND)], NOON)
    with pytest.raises(ConflictError, match=r"kept in mode append, not replace \[datasource\.mode_conflict\]"):
        catalog.add_version(served_as(1), NOON)
    assert catalog.versions("sales") == []


def test_the_current_versions_of_all_datasources_come_by_name(catalog: Catalog) -> None:
    for name in ("stock", "sales", "art"):
        catalog.add_version(servable(f"{name}--aaaaaaaaaaaaaaaa", datasource=name), NOON)
    assert [version.datasource for version in catalog.current_versions()] == ["art", "sales", "stock"]


def test_many_appended_datasets_stay_apart(catalog: Catalog) -> None:
    for number in range(1, 41):
        catalog.add_version(servable(f"sales--{number}", sequence=number, mode=APPEND), NOON)
    current = catalog.current_version("sales")
    assert current
    assert [member.sequence for member in current.members] == list(range(1, 41))


def _current(catalog: Catalog) -> list[int]:
    """Sequences of the members that readers see."""
    current = catalog.current_version("sales")
    return [member.sequence for member in current.members] if current else []

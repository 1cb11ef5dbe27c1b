"""Versions of datasources and the pointer to the one that readers see."""

import pytest

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, MetricFoundryError, NotFoundError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Version
from metricfoundry_dagster.ports.catalog import Catalog, Pointer
from metricfoundry_dagster_tests.port_contracts.catalog.samples import (
    LATER,
    NOON,
    add_version,
    begun,
    new_dataset,
    registered,
    servable,
    served_as,
)

APPEND = Mode.APPEND


def test_a_version_comes_back_as_it_was_made(catalog: Catalog) -> None:
    version, current = add_version(catalog, served_as(1), NOON)
    assert (version, current) == (Version("sales", 1, (served_as(1),), NOON), True)
    assert catalog.current_version("sales") == version
    assert catalog.versions("sales") == [version]


def test_nothing_is_served_at_first(catalog: Catalog) -> None:
    assert catalog.current_version("sales") is None
    assert (catalog.versions("sales"), catalog.current_versions()) == ([], [])


def test_the_newer_dataset_replaces_the_older(catalog: Catalog) -> None:
    for number in (1, 2):
        version, current = add_version(catalog, served_as(number), NOON)
        assert (version.number, version.members, current) == (number, (served_as(number),), True)
    assert [version.number for version in catalog.versions("sales")] == [2, 1]


def test_a_late_retry_of_an_older_dataset_never_wins(catalog: Catalog) -> None:
    add_version(catalog, served_as(5), NOON)
    late, current = add_version(catalog, served_as(3), LATER)
    assert (late.number, late.members, current) == (2, (served_as(3),), False)
    assert _current(catalog) == [5]
    assert len(catalog.versions("sales")) == 2


def test_a_new_attempt_of_the_same_dataset_becomes_current(catalog: Catalog) -> None:
    add_version(catalog, served_as(1), NOON)
    version, current = add_version(catalog, served_as(1, attempt=2), NOON)
    assert (version.number, version.members, current) == (2, (served_as(1, attempt=2),), True)


@pytest.mark.parametrize("mode", Mode)
def test_the_same_attempt_again_changes_nothing(catalog: Catalog, mode: Mode) -> None:
    first = add_version(catalog, served_as(1, mode=mode), NOON)
    assert add_version(catalog, served_as(1, mode=mode), LATER) == first
    assert len(catalog.versions("sales")) == 1


def test_the_same_late_attempt_again_changes_nothing(catalog: Catalog) -> None:
    add_version(catalog, served_as(2), NOON)
    late = add_version(catalog, served_as(1), NOON)
    assert add_version(catalog, served_as(1), LATER) == late
    assert late[1] is False


def test_appended_datasets_are_all_there_once_in_the_order_of_their_registration(catalog: Catalog) -> None:
    for number in (2, 1, 3):
        add_version(catalog, served_as(number, mode=APPEND), NOON)
    version, current = add_version(catalog, served_as(1, attempt=2, mode=APPEND), NOON)
    assert (version.number, current) == (4, True)
    assert [(member.sequence, member.attempt) for member in version.members] == [(1, 2), (2, 1), (3, 1)]
    assert version.rows == 6
    assert [len(version.members) for version in catalog.versions("sales")] == [3, 3, 2, 1]


def test_an_attempt_that_is_still_among_the_appended_is_given_as_shown(catalog: Catalog) -> None:
    first = add_version(catalog, served_as(1, mode=APPEND), NOON)
    add_version(catalog, served_as(2, mode=APPEND), NOON)
    assert add_version(catalog, served_as(1, mode=APPEND), NOON) == first
    catalog.step_back("sales")
    assert add_version(catalog, served_as(2, mode=APPEND), NOON)[1] is False


@pytest.mark.parametrize("mode", Mode)
def test_stepping_back_twice_goes_two_back(catalog: Catalog, mode: Mode) -> None:
    for number in (1, 2, 3):
        add_version(catalog, served_as(number, mode=mode), NOON)
    assert [catalog.step_back("sales").number for _ in range(2)] == [2, 1]
    assert catalog.current_version("sales") == catalog.versions("sales")[-1]
    with pytest.raises(ConflictError, match=r"\[datasource\.no_earlier_version\]"):
        catalog.step_back("sales")


def test_stepping_back_passes_over_versions_that_readers_never_saw(catalog: Catalog) -> None:
    for number in (1, 5, 3, 6):
        add_version(catalog, served_as(number), NOON)
    catalog.step_back("sales")
    assert _current(catalog) == [5]
    catalog.step_back("sales")
    assert _current(catalog) == [1]


def test_stepping_back_never_leads_to_a_version_that_was_stepped_back_from(catalog: Catalog) -> None:
    for number in (1, 2):
        add_version(catalog, served_as(number), NOON)
    catalog.step_back("sales")
    add_version(catalog, served_as(3), NOON)
    assert _current(catalog) == [3]
    catalog.step_back("sales")
    assert _current(catalog) == [1]


def test_what_was_never_served_cannot_be_stepped_back(catalog: Catalog) -> None:
    registered(catalog)
    with pytest.raises(NotFoundError, match=r"\[datasource\.not_found\]"):
        catalog.step_back("sales")


def test_after_a_rollback_an_older_dataset_than_the_one_served_still_does_not_win(catalog: Catalog) -> None:
    for number in (2, 3):
        add_version(catalog, served_as(number), NOON)
    catalog.step_back("sales")
    assert add_version(catalog, served_as(1), NOON)[1] is False
    assert _current(catalog) == [2]


def test_the_same_attempt_does_not_undo_a_rollback_but_a_retry_does(catalog: Catalog) -> None:
    for number in (1, 2):
        add_version(catalog, served_as(number), NOON)
    catalog.step_back("sales")
    version, current = add_version(catalog, served_as(2), LATER)
    assert (version.number, current, _current(catalog)) == (2, False, [1])
    version, current = add_version(catalog, served_as(2, attempt=2), LATER)
    assert (version.number, current, _current(catalog)) == (3, True, [2])


def test_after_a_rollback_an_appended_dataset_adds_to_what_readers_see(catalog: Catalog) -> None:
    for number in (1, 2):
        add_version(catalog, served_as(number, mode=APPEND), NOON)
    catalog.step_back("sales")
    add_version(catalog, served_as(3, mode=APPEND), NOON)
    assert _current(catalog) == [1, 3]
    assert catalog.step_back("sales").number == 1


def test_an_older_attempt_is_fenced_once_a_newer_one_is_served(catalog: Catalog) -> None:
    add_version(catalog, served_as(1, attempt=2, mode=APPEND), NOON)
    with pytest.raises(FencedError, match=r"attempt 1 of .* may not be served, there is attempt 2 \[attempt\.fenced\]"):
        add_version(catalog, served_as(1, mode=APPEND), NOON)


def test_an_older_attempt_is_fenced_once_a_newer_one_has_begun(catalog: Catalog) -> None:
    dataset = registered(catalog)
    begun(catalog, dataset, "run-1")
    begun(catalog, dataset, "run-2")
    with pytest.raises(FencedError, match=r"\[attempt\.fenced\]"):
        add_version(catalog, servable(dataset.dataset_id, attempt=1), NOON)
    assert catalog.current_version("sales") is None
    assert add_version(catalog, servable(dataset.dataset_id, attempt=2), NOON)[1]


@pytest.mark.parametrize("state", [JobState.CANCELED, JobState.FAILED])
def test_a_job_that_has_ended_serves_nothing(catalog: Catalog, state: JobState) -> None:
    """It was canceled, or held for lost, while its worker was about to serve."""
    attempt = begun(catalog, registered(catalog))
    catalog.close_job(attempt.job.job_id, state, None, NOON)
    with pytest.raises(FencedError, match=rf"is {state} and may not serve \[attempt\.fenced\]"):
        add_version(catalog, servable(attempt.dataset.dataset_id), NOON)
    assert catalog.current_version("sales") is None


def test_the_other_mode_than_the_one_served_is_refused(catalog: Catalog) -> None:
    add_version(catalog, served_as(1), NOON)
    with pytest.raises(ConflictError, match=r"kept in mode replace, not append \[datasource\.mode_conflict\]"):
        add_version(catalog, served_as(2, mode=APPEND), NOON)
    assert len(catalog.versions("sales")) == 1


def test_the_other_mode_than_the_one_registered_is_refused(catalog: Catalog) -> None:
    catalog.register([new_dataset(mode=APPEND)], NOON)
    with pytest.raises(ConflictError, match=r"kept in mode append, not replace \[datasource\.mode_conflict\]"):
        add_version(catalog, served_as(1), NOON)
    assert catalog.versions("sales") == []


def test_the_current_versions_of_all_datasources_come_by_name(catalog: Catalog) -> None:
    for name in ("stock", "sales", "art"):
        add_version(catalog, servable(f"{name}--aaaaaaaaaaaaaaaa", datasource=name), NOON)
    assert [version.datasource for version in catalog.current_versions()] == ["art", "sales", "stock"]
    assert catalog.pointers() == [Pointer(name, 1, NOON) for name in ("art", "sales", "stock")]
    assert [version.datasource for version in catalog.current_versions(["stock", "art", "other"])] == ["art", "stock"]
    assert catalog.current_versions([]) == []


def test_many_appended_datasets_stay_apart(catalog: Catalog) -> None:
    for number in range(1, 41):
        add_version(catalog, servable(f"sales--{number}", sequence=number, mode=APPEND), NOON)
    current = catalog.current_version("sales")
    assert current
    assert [member.sequence for member in current.members] == list(range(1, 41))


def test_many_are_added_at_once_in_the_order_of_their_sequence(catalog: Catalog) -> None:
    """Outcomes stand as the datasets were given; every version before the last can be gone back to."""
    assert catalog.add_versions([served_as(3), served_as(1), served_as(2)], NOON) == [(3, True), (1, False), (2, False)]
    assert [[m.sequence for m in version.members] for version in catalog.versions("sales")] == [[3], [2], [1]]
    assert [catalog.step_back("sales").number for _ in range(2)] == [2, 1]


def test_many_are_appended_at_once_to_several_datasources(catalog: Catalog) -> None:
    servables = [
        servable(f"{name}--{letter * 16}", sequence=number, mode=APPEND, datasource=name)
        for number, letter in enumerate("abc", start=1)
        for name in ("sales", "stock")
    ]
    add_version(catalog, servables[0])
    outcomes = catalog.add_versions(servables, LATER)
    assert outcomes == [(1, True), (1, True), (2, True), (2, True), (3, True), (3, True)]
    assert catalog.add_versions(servables, LATER) == outcomes
    assert [[m.sequence for m in version.members] for version in catalog.current_versions()] == [[1, 2, 3], [1, 2, 3]]


def test_what_is_wrong_with_one_dataset_holds_up_no_other(catalog: Catalog) -> None:
    """Fenced, canceled and in the other mode: each is told in its place and leaves no trace."""
    overtaken, canceled, good = (begun(catalog, registered(catalog, name, mode=APPEND)) for name in "abc")
    begun(catalog, overtaken.dataset, "run-2")
    catalog.close_job(canceled.job.job_id, JobState.CANCELED, None, NOON)
    replacing = servable("sales--zzzzzzzzzzzzzzzz", sequence=9)
    servables = [servable(a.dataset.dataset_id, sequence=a.dataset.sequence, mode=APPEND) for a in (overtaken, canceled, good)]
    outcomes = catalog.add_versions([replacing, *servables], NOON)
    codes = [outcome.code if isinstance(outcome, MetricFoundryError) else outcome for outcome in outcomes]
    assert codes == ["datasource.mode_conflict", "attempt.fenced", "attempt.fenced", (1, True)]
    assert [version.members for version in catalog.versions("sales")] == [(servables[2],)]


def test_nothing_at_all_can_be_added(catalog: Catalog) -> None:
    assert catalog.add_versions([], NOON) == []


def _current(catalog: Catalog) -> list[int]:
    """Sequences of the members that readers see."""
    current = catalog.current_version("sales")
    return [member.sequence for member in current.members] if current else []

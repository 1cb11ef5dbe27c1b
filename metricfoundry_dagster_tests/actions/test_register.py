"""The same version of the same source is one dataset, and gets a job when there is something to do."""

import pytest

from metricfoundry_dagster.actions.register import Registration, Wishes, register_source
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, UserError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster_tests.actions.conftest import World

CONTRACT = "name: sales\ncolumns:\n  - name: a\n    type: int64\n"
OTHER_CONTRACT = "name: sales\ncolumns:\n  - name: a\n    type: string\n"


def end(world: World, registration: Registration, state: JobState = JobState.COMPLETED) -> None:
    """Let the job end."""
    assert world.ports.catalog.close_job(registration.job.job_id, state, None, world.clock.now())


def test_a_new_source_is_a_dataset_with_a_waiting_job(world: World) -> None:
    found = register_source(world.ports, world.put("Net Sales.csv.gz"), Wishes())
    assert (found.dataset.datasource, found.dataset.mode, found.job.state) == ("net_sales", Mode.REPLACE, JobState.CREATED)
    assert not found.already_there


def test_registering_again_changes_nothing_while_a_job_is_under_way(world: World) -> None:
    uri = world.put("a.csv")
    assert register_source(world.ports, uri, Wishes()) == register_source(world.ports, uri, Wishes())


def test_what_is_completed_is_already_there(world: World) -> None:
    uri = world.put("a.csv")
    first = register_source(world.ports, uri, Wishes())
    end(world, first)
    again = register_source(world.ports, uri, Wishes())
    assert again.already_there
    assert again.job.job_id == first.job.job_id


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED])
def test_what_did_not_come_through_gets_a_new_job(world: World, state: JobState) -> None:
    uri = world.put("a.csv")
    first = register_source(world.ports, uri, Wishes())
    end(world, first, state)
    again = register_source(world.ports, uri, Wishes())
    assert again.dataset == first.dataset
    assert (again.job.state, again.job.job_id != first.job.job_id) == (JobState.CREATED, True)


def test_other_bytes_at_the_same_place_are_another_dataset(world: World) -> None:
    first = register_source(world.ports, world.put("a.csv", b"a\n1\n"), Wishes())
    second = register_source(world.ports, world.put("a.csv", b"a\n2\n"), Wishes())
    assert first.dataset.dataset_id != second.dataset.dataset_id
    assert (first.dataset.sequence, second.dataset.sequence) == (1, 2)


def test_one_source_may_be_a_dataset_of_two_datasources(world: World) -> None:
    uri = world.put("a.csv")
    found = {register_source(world.ports, uri, Wishes(datasource=name)).dataset.dataset_id for name in ("one", "two")}
    assert len(found) == 2


def test_a_contract_is_kept_for_the_next_files_of_the_datasource(world: World) -> None:
    world.contracts.texts["strict"] = CONTRACT
    found = register_source(world.ports, world.put("sales.csv"), Wishes(contract="strict"))
    assert found.dataset.contract == "strict"
    assert world.ports.catalog.contract("sales") == CONTRACT


def test_a_contract_file_is_kept_by_its_absolute_path(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may run in another directory."""
    monkeypatch.chdir("/")
    world.contracts.texts["/rules/strict.yaml"] = CONTRACT
    found = register_source(world.ports, world.put("sales.csv"), Wishes(contract="rules/strict.yaml"))
    assert found.dataset.contract == "/rules/strict.yaml"


def test_another_contract_takes_a_completed_dataset_through_again(world: World) -> None:
    world.contracts.texts |= {"one": CONTRACT, "two": OTHER_CONTRACT}
    uri = world.put("sales.csv")
    first = register_source(world.ports, uri, Wishes(contract="one"))
    end(world, first)
    second = register_source(world.ports, uri, Wishes(contract="two"))
    assert second.dataset.dataset_id == first.dataset.dataset_id
    assert (second.job.state, second.dataset.contract) == (JobState.CREATED, "two")
    assert world.ports.catalog.contract("sales") == OTHER_CONTRACT


def test_a_changed_contract_file_takes_a_completed_dataset_through_again(world: World) -> None:
    world.contracts.texts["strict"] = CONTRACT
    uri = world.put("sales.csv")
    end(world, register_source(world.ports, uri, Wishes(contract="strict")))
    assert register_source(world.ports, uri, Wishes(contract="strict")).already_there
    world.contracts.texts["strict"] = OTHER_CONTRACT
    assert register_source(world.ports, uri, Wishes(contract="strict")).job.state is JobState.CREATED


def test_another_recipe_takes_a_completed_dataset_through_again(world: World) -> None:
    uri = world.put("sales.csv")
    end(world, register_source(world.ports, uri, Wishes()))
    second = register_source(world.ports, uri, Wishes(recipe={"delimiter": ";"}))
    assert second.job.state is JobState.CREATED
    assert second.dataset.recipe == world.ports.catalog.recipe("sales") == {"delimiter": ";"}


def test_other_wishes_have_to_wait_for_a_job_that_is_under_way(world: World) -> None:
    uri = world.put("sales.csv")
    found = register_source(world.ports, uri, Wishes())
    assert world.ports.catalog.claim_job(found.job.job_id, world.clock.now())
    with pytest.raises(ConflictError, match=r"job\.not_retryable"):
        register_source(world.ports, uri, Wishes(recipe={"delimiter": ";"}))
    assert world.ports.catalog.recipe("sales") is None


def test_a_job_that_nobody_has_taken_is_done_with_the_new_wishes(world: World) -> None:
    uri = world.put("sales.csv")
    first = register_source(world.ports, uri, Wishes())
    second = register_source(world.ports, uri, Wishes(recipe={"delimiter": ";"}))
    assert second.job.job_id == first.job.job_id
    assert second.dataset.recipe == {"delimiter": ";"}


@pytest.mark.parametrize(("contract", "code"), [("none", "contract.not_found"), ("bad", "contract.invalid")])
def test_a_bad_contract_is_refused_at_the_door(world: World, contract: str, code: str) -> None:
    world.contracts.texts["bad"] = "columns: 7\n"
    with pytest.raises(UserError) as caught:
        register_source(world.ports, world.put("sales.csv"), Wishes(contract=contract))
    assert caught.value.code == code
    assert world.ports.catalog.datasets(DatasetFilter()) == []


def test_a_datasource_stays_in_its_mode(world: World) -> None:
    uri = world.put("a.csv")
    register_source(world.ports, uri, Wishes(datasource="log", mode=Mode.APPEND))
    assert register_source(world.ports, world.put("b.csv"), Wishes(datasource="log")).dataset.mode is Mode.APPEND
    with pytest.raises(ConflictError, match=r"datasource\.mode_conflict"):
        register_source(world.ports, uri, Wishes(datasource="log", mode=Mode.REPLACE))


def test_two_names_with_one_slug_are_refused(world: World) -> None:
    register_source(world.ports, world.put("a.csv"), Wishes(datasource="net-sales"))
    with pytest.raises(ConflictError, match=r"datasource\.name_taken"):
        register_source(world.ports, world.put("b.csv"), Wishes(datasource="net sales"))


@pytest.mark.parametrize("name", ["../etc", "a/b", "", "a\x00b", ".."])
def test_a_name_that_holds_a_path_is_refused(world: World, name: str) -> None:
    with pytest.raises(UserError, match=r"name\.invalid"):
        register_source(world.ports, world.put("a.csv"), Wishes(datasource=name))


def test_a_missing_source_is_refused(world: World) -> None:
    with pytest.raises(UserError, match=r"source\.not_found"):
        register_source(world.ports, "memory://uploads/nothing.csv", Wishes())


def test_a_source_that_is_too_large_is_refused_before_it_is_copied(world: World) -> None:
    with pytest.raises(UserError, match="1,001 bytes, 1,000 are allowed"):
        register_source(world.ports, world.put("a.csv", b"x" * 1_001), Wishes())

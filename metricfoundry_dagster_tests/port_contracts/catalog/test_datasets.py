from dataclasses import replace

import pytest

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, NotFoundError, UserError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.ports.catalog import Catalog, DatasetFilter
from metricfoundry_dagster_tests.port_contracts.catalog.samples import LATER, NOON, begun, new_dataset, registered


def test_names_and_modes_of_many_datasources_are_found_at_once(catalog: Catalog) -> None:
    catalog.register([new_dataset("a", datasource="resume", given_name="Résumé", mode=Mode.APPEND), new_dataset("b")], NOON)
    found = catalog.names_and_modes(["resume", "sales", "nothing"])
    assert found == {"resume": ("Résumé", Mode.APPEND), "sales": ("sales", Mode.REPLACE)}
    assert catalog.names_and_modes([]) == {}


def test_a_dataset_comes_back_as_it_was_registered(catalog: Catalog) -> None:
    new = replace(new_dataset(given_name="Sales"), contract="strict", recipe={"delimiter": "\t", "types": {"a": "string"}})
    dataset = catalog.register([new], NOON)[0]
    assert catalog.dataset(new.dataset_id) == dataset
    assert (dataset.sequence, dataset.mode, dataset.contract, dataset.recipe) == (1, Mode.REPLACE, "strict", new.recipe)
    assert (dataset.source_uri, dataset.etag, dataset.filename, dataset.size_bytes) == (new.source_uri, "1-1-1", "a.csv", 10)
    assert dataset.created_at == NOON


def test_a_registered_dataset_has_a_waiting_job(catalog: Catalog) -> None:
    jobs = catalog.jobs_of(registered(catalog).dataset_id)
    assert [(job.state, job.attempt, job.progress_percent, job.run_id, job.created_at) for job in jobs] == [
        (JobState.CREATED, 0, 0, None, NOON)
    ]


def test_sequences_count_each_datasource_for_itself(catalog: Catalog) -> None:
    names = [("a", "sales"), ("b", "stock"), ("c", "sales"), ("d", "stock"), ("e", "sales")]
    datasets = catalog.register([new_dataset(name, datasource=datasource) for name, datasource in names], NOON)
    assert [dataset.sequence for dataset in datasets] == [1, 1, 2, 2, 3]
    assert catalog.register([new_dataset("f")], NOON)[0].sequence == 4


def test_the_same_dataset_again_is_given_back_without_another_job(catalog: Catalog) -> None:
    first = registered(catalog)
    again, new = catalog.register([new_dataset("a"), new_dataset("b")], LATER)
    assert again == first
    assert new.sequence == 2
    assert len(catalog.jobs_of(first.dataset_id)) == 1


def test_one_source_under_another_id_is_another_dataset(catalog: Catalog) -> None:
    first = registered(catalog)
    [other] = catalog.register([replace(new_dataset("a"), dataset_id="sales--zzzzzzzzzzzzzzzz")], NOON)
    assert (other.source_uri, other.sequence) == (first.source_uri, first.sequence + 1)


def test_one_source_may_go_into_two_datasources(catalog: Catalog) -> None:
    ids = {registered(catalog, "a", datasource=name).dataset_id for name in ("sales", "stock")}
    assert len(ids) == 2


def test_a_dataset_that_stands_twice_in_one_request_is_registered_once(catalog: Catalog) -> None:
    first, second = catalog.register([new_dataset("a"), new_dataset("a")], NOON)
    assert first == second
    assert len(catalog.jobs_of(first.dataset_id)) == 1


def test_registering_nothing_is_no_mistake(catalog: Catalog) -> None:
    assert catalog.register([], NOON) == []


@pytest.mark.parametrize("same", ["Résumé", "résumé", "RÉSUMÉ", "Re\u0301sume\u0301"])
def test_a_name_in_another_spelling_is_the_same_datasource(catalog: Catalog, same: str) -> None:
    catalog.register([new_dataset("a", datasource="resume", given_name="Résumé")], NOON)
    assert catalog.register([new_dataset("b", datasource="resume", given_name=same)], NOON)[0].sequence == 2


@pytest.mark.parametrize("together", [True, False])
def test_two_names_with_one_slug_are_refused(catalog: Catalog, together: bool) -> None:
    new = [
        new_dataset("a", datasource="my_data", given_name="My data"),
        new_dataset("b", datasource="my_data", given_name="my-data"),
    ]
    if not together:
        catalog.register(new[:1], NOON)
    with pytest.raises(ConflictError, match=r"'my-data' and 'My data'.*\[datasource\.name_taken\]"):
        catalog.register(new, NOON)


def test_the_other_mode_is_refused(catalog: Catalog) -> None:
    registered(catalog)
    with pytest.raises(ConflictError, match=r"kept in mode replace, not append \[datasource\.mode_conflict\]"):
        catalog.register([new_dataset("b", mode=Mode.APPEND)], NOON)


def test_all_are_registered_or_none(catalog: Catalog) -> None:
    registered(catalog, "a", datasource="sales")
    with pytest.raises(ConflictError):
        catalog.register([new_dataset("b", datasource="stock"), new_dataset("c", mode=Mode.APPEND)], NOON)
    assert catalog.mode("stock") is None
    assert len(catalog.datasets(DatasetFilter())) == 1


@pytest.mark.parametrize("filename", ["caf\udce9.csv", "nul\x00.csv"])
def test_text_that_no_database_holds_is_refused_with_its_place(catalog: Catalog, filename: str) -> None:
    with pytest.raises(UserError, match=r"\[name\.invalid\]") as caught:
        catalog.register([replace(new_dataset(), filename=filename)], NOON)
    assert caught.value.record.place.file


def test_names_in_any_script_are_kept(catalog: Catalog) -> None:
    new = replace(new_dataset(given_name="Продажи 売上 💶"), filename="売上 💶 'x\".csv")
    assert catalog.register([new], NOON)[0].filename == new.filename
    assert catalog.dataset(new.dataset_id).filename == new.filename


def test_a_dataset_can_be_revised(catalog: Catalog) -> None:
    dataset = registered(catalog)
    revised = catalog.revise(dataset.dataset_id, "strict", {"delimiter": ";"})
    assert revised == replace(dataset, contract="strict", recipe={"delimiter": ";"})
    assert catalog.dataset(dataset.dataset_id) == revised


def test_an_unknown_dataset_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.dataset("sales--aaaaaaaaaaaaaaaa")
    with pytest.raises(NotFoundError, match=r"\[dataset\.not_found\]"):
        catalog.revise("sales--aaaaaaaaaaaaaaaa", None, {})


def test_the_mode_of_a_datasource_is_known_once_it_is_registered(catalog: Catalog) -> None:
    assert catalog.mode("sales") is None
    registered(catalog, mode=Mode.APPEND)
    assert catalog.mode("sales") is Mode.APPEND


def test_datasets_are_listed_newest_first_with_their_newest_job(catalog: Catalog) -> None:
    a, b, c = (registered(catalog, name, datasource=source) for name, source in [("a", "sales"), ("b", "stock"), ("c", "sales")])
    catalog.close_job(begun(catalog, a).job.job_id, JobState.FAILED, None, NOON)
    retried = catalog.request_job(a.dataset_id, LATER)
    listed = catalog.datasets(DatasetFilter())
    assert [dataset for dataset, _ in listed] == [c, b, a]
    assert listed[2][1] == retried


def test_datasets_are_filtered_by_datasource_and_by_the_state_of_the_newest_job(catalog: Catalog) -> None:
    a, _, c = (registered(catalog, name, datasource=source) for name, source in [("a", "sales"), ("b", "stock"), ("c", "sales")])
    catalog.close_job(begun(catalog, a).job.job_id, JobState.FAILED, None, NOON)
    assert [dataset for dataset, _ in catalog.datasets(DatasetFilter(datasource="sales"))] == [c, a]
    assert [dataset for dataset, _ in catalog.datasets(DatasetFilter(state=JobState.FAILED))] == [a]
    catalog.request_job(a.dataset_id, NOON)
    assert catalog.datasets(DatasetFilter(state=JobState.FAILED)) == []


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (2, 2), (100, 3), (-1, 0)])
def test_no_more_datasets_are_listed_than_asked_for(catalog: Catalog, limit: int, count: int) -> None:
    catalog.register([new_dataset(name) for name in "abc"], NOON)
    assert len(catalog.datasets(DatasetFilter(limit=limit))) == count

"""Several threads and processes on one catalog at once: nothing is done twice, and nothing is lost."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import TypeVar

import pytest

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog, open_catalog
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.conftest import InChildren
from metricfoundry_dagster_tests.port_contracts.catalog.samples import (
    NOON,
    add_version,
    begun,
    claim,
    dropped,
    new_dataset,
    product,
    registered,
    servable,
)

Result = TypeVar("Result")


def at_once(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run each task in a thread of its own; results in the order of the tasks."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        return [future.result() for future in [threads.submit(task) for task in tasks]]


def in_processes(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run each task in a process that knows nothing of this one."""
    with ProcessPoolExecutor(len(tasks), mp_context=get_context("spawn")) as processes:
        return [future.result() for future in [processes.submit(task) for task in tasks]]


def claim_all(catalog: Catalog) -> list[str]:
    """Claim three jobs at a time until there are none."""
    claimed: list[str] = []
    while catalog.waiting_jobs(1, NOON):
        claimed += [job.job_id for job in claim(catalog, 3)]
    return claimed


def work_from_outside(database_url: str) -> tuple[list[str], list[int]]:
    """What another process does to the catalog: claims every job it gets, and registers datasets."""
    catalog = open_catalog(database_url)
    catalog.upgrade()
    claimed = claim_all(catalog)
    sequences = [catalog.register([new_dataset(f"shared-{number}")], NOON)[0].sequence for number in range(20)]
    return claimed, sequences


def test_two_threads_never_claim_one_job(catalog: Catalog) -> None:
    catalog.register([new_dataset(f"{number}") for number in range(60)], NOON)
    claimed = list(chain(*at_once([partial(claim_all, catalog)] * 2)))
    assert len(claimed) == len(set(claimed)) == 60


def test_two_processes_never_claim_one_job_nor_register_one_dataset_twice(catalog: Catalog, database_url: str) -> None:
    catalog.register([new_dataset(f"{number}", datasource="other") for number in range(60)], NOON)
    (claims_a, sequences_a), (claims_b, sequences_b) = in_processes([partial(work_from_outside, database_url)] * 2)
    assert set(claims_a).isdisjoint(claims_b)
    assert len(claims_a + claims_b) >= 60  # jobs of the other's new datasets may be among them
    assert sequences_a == sequences_b
    assert sorted(sequences_a) == list(range(1, 21))


def test_one_job_is_claimed_by_exactly_one_of_many(catalog: Catalog) -> None:
    job_id = catalog.jobs_of(registered(catalog).dataset_id)[0].job_id
    assert sorted(at_once([partial(catalog.claim_job, job_id, NOON)] * 4)) == [False, False, False, True]


def test_sequences_are_unique_whoever_registers(catalog: Catalog) -> None:
    def register_ten(letter: str) -> list[int]:
        batches = [
            [new_dataset(f"{letter}{number}"), new_dataset(f"{letter}{number}", datasource="stock")] for number in range(10)
        ]
        return [catalog.register(batch, NOON)[0].sequence for batch in batches]

    sequences = at_once([partial(register_ten, letter) for letter in "abcd"])
    assert sorted(chain(*sequences)) == list(range(1, 41))


def test_batches_in_opposite_orders_do_not_block_each_other(catalog: Catalog) -> None:
    """Datasources are locked in one order, whatever the order of the datasets is."""
    names = [f"d{number:03}" for number in range(200)]
    batches = [[new_dataset(letter, datasource=name) for name in names] for letter in "ab"]
    at_once([partial(catalog.register, batches[0], NOON), partial(catalog.register, batches[1][::-1], NOON)])
    assert {catalog.register([new_dataset("z", datasource=name)], NOON)[0].sequence for name in names[:5]} == {3}


def test_the_same_objects_registered_at_once_are_registered_once(catalog: Catalog) -> None:
    new = [new_dataset(f"{number}") for number in range(30)]
    first, *others = at_once([partial(catalog.register, new, NOON)] * 4)
    assert others == [first] * 3
    assert [len(catalog.jobs_of(dataset.dataset_id)) for dataset in first] == [1] * 30


def test_looking_at_once_loses_nothing(catalog: Catalog) -> None:
    objects = [dropped(f"{number}") for number in range(300)]
    at_once([partial(catalog.look, objects, NOON), partial(catalog.look, objects[::-1], NOON)])
    assert catalog.look(objects, NOON).complete == objects


def test_only_one_of_two_requests_makes_a_job(catalog: Catalog) -> None:
    dataset = registered(catalog)
    catalog.close_job(begun(catalog, dataset).job.job_id, JobState.FAILED, None, NOON)

    def request() -> bool:
        try:
            return bool(catalog.request_job(dataset.dataset_id, NOON))
        except ConflictError:
            return False

    assert sorted(at_once([request] * 4)) == [False, False, False, True]
    assert len(catalog.jobs_of(dataset.dataset_id)) == 2


def test_runs_that_open_one_dataset_at_once_get_an_attempt_each_and_the_last_is_left(catalog: Catalog) -> None:
    dataset = registered(catalog)
    attempts = at_once([partial(begun, catalog, dataset, f"run-{number}") for number in range(6)])
    assert sorted(attempt.number for attempt in attempts) == [1, 2, 3, 4, 5, 6]
    processing = [job for job in catalog.jobs_of(dataset.dataset_id) if job.state is JobState.PROCESSING]
    assert [job.attempt for job in processing] == [6]
    catalog.publish(product(max(attempts, key=lambda attempt: attempt.number)), processing[0].job_id, NOON)


def test_one_run_that_opens_its_job_twice_at_once_has_one_attempt(catalog: Catalog) -> None:
    dataset = registered(catalog)
    attempts = at_once([partial(begun, catalog, dataset, "run-1")] * 4)
    assert {attempt.number for attempt in attempts} == {1}


@pytest.mark.parametrize("mode", Mode)
def test_versions_made_at_once_are_numbered_one_after_another(catalog: Catalog, mode: Mode) -> None:
    def serve(number: int) -> int:
        return add_version(catalog, servable(f"sales--{number}", sequence=number, mode=mode))[0].number

    assert sorted(at_once([partial(serve, number) for number in range(1, 9)])) == list(range(1, 9))
    current = catalog.current_version("sales")
    assert current
    expected = [8] if mode is Mode.REPLACE else list(range(1, 9))
    assert [member.sequence for member in current.members] == expected


def test_a_reader_does_not_wait_for_a_writer(catalog: SqlCatalog) -> None:
    registered(catalog)
    with catalog._database.writing() as connection:
        connection.exec_driver_sql("UPDATE datasources SET last_sequence = 99")
        assert catalog.dataset(new_dataset().dataset_id).sequence == 1
        assert catalog.current_versions() == []


def test_a_catalog_used_before_a_fork_can_be_used_on_both_sides(catalog: Catalog, in_children: InChildren) -> None:

    def register_ten(letter: str) -> None:
        for number in range(10):
            registered(catalog, f"{letter}{number}")

    register_ten("a")
    assert in_children([partial(register_ten, letter) for letter in "bcd"]) == [0, 0, 0]
    register_ten("e")
    assert registered(catalog, "last").sequence == 51

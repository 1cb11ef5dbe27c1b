"""Which waiting datasets share a run: a pure decision."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from metricfoundry_dagster.actions.gather import BatchRules, gather
from metricfoundry_dagster.ports.catalog import WaitingJob

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
RULES = BatchRules(min_datasets=3, max_datasets=5, max_bytes=100, max_dataset_bytes=40, max_age=timedelta(seconds=5))


def waiting(*sizes: int, limit: int | None = None, first: int = 0, age_seconds: float = 0) -> list[WaitingJob]:
    """Jobs of these sizes, named by their number."""
    since = NOON - timedelta(seconds=age_seconds)
    return [WaitingJob(f"job-{n}", f"dataset-{n}", size, since, limit) for n, size in enumerate(sizes, start=first)]


def sizes(jobs: list[WaitingJob], rules: BatchRules = RULES, *, is_busy: bool = False) -> list[list[int]]:
    """The sizes of the datasets in each run."""
    return [[job.size_bytes for job in company] for company in gather(jobs, rules, NOON, is_busy=is_busy)]


def test_few_small_datasets_get_runs_of_their_own_at_once() -> None:
    assert sizes(waiting(1, 2)) == [[1], [2]]


def test_many_small_datasets_share_runs_of_about_the_same_size() -> None:
    assert sizes(waiting(1, 2, 3)) == [[1, 2, 3]]
    assert [len(each) for each in sizes(waiting(*[1] * 11))] == [4, 4, 3]


def test_ten_thousand_become_twenty() -> None:
    rules = replace(RULES, max_datasets=500, max_bytes=2**28)
    assert [len(each) for each in sizes(waiting(*[40] * 10_000), rules)] == [500] * 20


def test_a_large_dataset_goes_alone_and_in_its_turn() -> None:
    assert sizes(waiting(1, 41, 2, 3)) == [[1, 2, 3], [41]]
    assert sizes(waiting(41, 1, 2, 3)) == [[41], [1, 2, 3]]


def test_no_batch_has_more_bytes_than_allowed() -> None:
    assert sizes(waiting(40, 40, 40, 40)) == [[40, 40], [40, 40]]


def test_while_every_worker_is_busy_few_small_ones_wait_for_company_but_not_for_ever() -> None:
    assert sizes(waiting(1, 2), is_busy=True) == []
    assert sizes(waiting(1, 2, 41), is_busy=True) == [[41]]
    assert sizes(waiting(1, 2, 3), is_busy=True) == [[1, 2, 3]]
    assert sizes(waiting(1, 2, age_seconds=5), is_busy=True) == [[1], [2]]


def test_what_comes_from_a_batch_that_ended_early_goes_on_in_smaller_ones() -> None:
    assert sizes(waiting(1, 2, 3, 4, limit=2), is_busy=True) == [[1, 2], [3, 4]]
    assert sizes(waiting(1, 2, 3, limit=1)) == [[1], [2], [3]]
    mixed = waiting(1, 2, 3) + waiting(7, 8, limit=2, first=3)
    assert sizes(mixed) == [[1, 2, 3], [7, 8]]


def test_with_one_dataset_at_the_most_there_are_no_batches() -> None:
    assert sizes(waiting(1, 2, 3), replace(RULES, max_datasets=1)) == [[1], [2], [3]]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(1, 9)), max_size=60),
    st.integers(1, 7),
    st.integers(1, 7),
    st.booleans(),
)
def test_every_job_is_in_one_run_and_no_run_breaks_a_bound(
    given_jobs: list[tuple[int, int | None]], min_datasets: int, max_datasets: int, is_busy: bool
) -> None:
    rules = replace(RULES, min_datasets=min_datasets, max_datasets=max_datasets)
    jobs = [replace(waiting(size, first=n)[0], batch_limit=limit) for n, (size, limit) in enumerate(given_jobs)]
    companies = gather(jobs, rules, NOON, is_busy=is_busy)
    taken = [job.job_id for company in companies for job in company]
    assert len(taken) == len(set(taken))
    assert is_busy or len(taken) == len(jobs)
    for company in companies:
        assert len(company) <= min(job.batch_limit or max_datasets for job in company)
        assert len(company) <= max_datasets
        if len(company) > 1:
            assert sum(job.size_bytes for job in company) <= rules.max_bytes
            assert all(job.size_bytes <= rules.max_dataset_bytes for job in company)
    assert [company[0].job_id for company in companies] == [
        job.job_id for job in jobs if any(company[0] is job for company in companies)
    ]

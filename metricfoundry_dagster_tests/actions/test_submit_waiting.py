"""Claiming waiting jobs: none twice, none lost, no more runs than there is room for, and small ones together."""

from datetime import timedelta
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.gather import BatchRules
from metricfoundry_dagster.actions.submit_waiting import QueueRules, RunToStart, claim_waiting
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import embedded_ports, register, write_source

_NOT_LOST_YET = timedelta(hours=1)
_LOST_AT_ONCE = timedelta(0)


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports with five waiting datasets."""
    ports = embedded_ports(tmp_path)
    for number in range(5):
        register(ports, write_source(tmp_path, f"file{number}.csv"))
    return ports


def claim(
    ports: Ports,
    max_runs: int = 50,
    max_queued: int = 100,
    lost_after: timedelta = _NOT_LOST_YET,
    *,
    together: int = 1,
    known: str | None = None,
) -> list[RunToStart]:
    """Claim with one answer to the question for a job's run; batches have `together` datasets."""
    queue = QueueRules(max_runs, max_queued, workers=1_000, lost_after=lost_after)
    batches = BatchRules(2, together, max_bytes=10**9, max_dataset_bytes=10**6, max_age=timedelta(0))
    return claim_waiting(ports, queue, batches, find_run=lambda _job: known)


def jobs_of(runs: list[RunToStart]) -> list[Job]:
    """All jobs of the runs, in order."""
    return [job for run in runs for job in run.jobs]


def test_every_job_is_claimed_once_and_the_oldest_first(ports: Ports) -> None:
    """Two looks share the jobs."""
    first, second, third = (claim(ports, 3) for _ in range(3))
    assert [job.dataset_id.partition("--")[0] for job in jobs_of(first + second)] == [f"file{n}" for n in range(5)]
    assert [run.batch_id for run in first + second] == [None] * 5
    assert third == []


def test_small_datasets_share_a_run_that_is_noted_with_the_claim(ports: Ports) -> None:
    """So whoever finds the run later knows which jobs it carries."""
    runs = claim(ports, together=3)
    assert [len(run.jobs) for run in runs] == [3, 2]
    assert len({run.batch_id for run in runs}) == 2
    assert all(ports.catalog.job(job.job_id).batch_id == run.batch_id for run in runs for job in run.jobs)


def test_no_more_runs_wait_in_the_queue_than_there_is_room_for(ports: Ports) -> None:
    """The rest waits in the catalog. A batch is one run."""
    assert len(claim(ports, max_queued=2)) == 2
    assert claim(ports, max_queued=2) == []
    assert [len(run.jobs) for run in claim(ports, max_queued=3, together=3)] == [3]


@pytest.mark.parametrize("together", [1, 5])
def test_a_claimed_job_without_a_run_is_claimed_again(ports: Ports, together: int) -> None:
    """Whoever claimed it died before submitting. A batch is asked for again under its name, as it was."""
    lost = claim(ports, together=together)
    again = claim(ports, lost_after=_LOST_AT_ONCE, together=together)
    assert [(run.batch_id, [job.job_id for job in run.jobs]) for run in again] == [
        (run.batch_id, [job.job_id for job in run.jobs]) for run in lost
    ]


def test_lost_claims_are_looked_after_even_when_the_queue_is_full(ports: Ports) -> None:
    """A full queue must not keep a lost job from being looked after."""
    claim(ports, max_runs=2)
    assert len(claim(ports, max_queued=0, lost_after=_LOST_AT_ONCE)) == 2


@pytest.mark.parametrize("together", [1, 5])
def test_a_claimed_job_whose_run_is_found_is_not_submitted_again(ports: Ports, together: int) -> None:
    """Whoever claimed it died after submitting; the run is noted."""
    claimed = jobs_of(claim(ports, 1, together=together))
    others = claim(ports, lost_after=_LOST_AT_ONCE, known="the run")
    assert not {job.job_id for job in claimed} & {job.job_id for job in jobs_of(others)}
    assert {ports.catalog.job(job.job_id).run_id for job in claimed} == {"the run"}

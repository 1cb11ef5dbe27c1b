"""Claiming waiting jobs: none twice, none lost, no more than there is room for."""

from datetime import timedelta
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.submit_waiting import claim_waiting
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


def claim(ports: Ports, max_jobs: int, max_queued: int, lost_after: timedelta, known: str | None = None) -> list[Job]:
    """Claim with one answer to the question for a job's run."""
    return claim_waiting(ports, max_jobs=max_jobs, max_queued=max_queued, lost_after=lost_after, find_run=lambda _job: known)


def test_every_job_is_claimed_once_and_the_oldest_first(ports: Ports) -> None:
    """Two looks share the jobs."""
    first, second, third = (claim(ports, 3, 100, _NOT_LOST_YET) for _ in range(3))
    assert [job.dataset_id.partition("--")[0] for job in first + second] == [f"file{n}" for n in range(5)]
    assert third == []


def test_no_more_wait_in_the_queue_than_there_is_room_for(ports: Ports) -> None:
    """The rest waits in the catalog."""
    assert len(claim(ports, 50, 2, _NOT_LOST_YET)) == 2
    assert claim(ports, 50, 2, _NOT_LOST_YET) == []


def test_a_claimed_job_without_a_run_is_claimed_again(ports: Ports) -> None:
    """Whoever claimed it died before submitting."""
    lost = {job.job_id for job in claim(ports, 2, 100, _NOT_LOST_YET)}
    again = {job.job_id for job in claim(ports, 50, 100, _LOST_AT_ONCE)}
    assert lost < again
    assert len(again) == 5


def test_a_claimed_job_whose_run_is_found_is_not_submitted_again(ports: Ports) -> None:
    """Whoever claimed it died after submitting; the run is noted."""
    [job] = claim(ports, 1, 100, _NOT_LOST_YET)
    others = claim(ports, 50, 100, _LOST_AT_ONCE, known="the run")
    assert job.job_id not in {other.job_id for other in others}
    assert ports.catalog.job(job.job_id).run_id == "the run"

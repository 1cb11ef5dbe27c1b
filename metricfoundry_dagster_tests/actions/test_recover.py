"""Jobs whose run ended without a word are closed, and their dataset taken up again, a bounded number of times."""

from pathlib import Path

import pytest

from metricfoundry_dagster.actions.recover import MAX_DEATHS, recover
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import RunState
from metricfoundry_dagster_tests.embedded import carry, embedded_ports, open_job, register, write_source


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


def test_a_dead_worker_gives_its_dataset_a_new_job(ports: Ports, tmp_path: Path) -> None:
    """The old job says why it ended, the new one waits for submission."""
    lost = open_job(ports, register(ports, write_source(tmp_path))).job
    recovery = recover(ports, lost, RunState.FAILED)
    assert recovery is not None
    assert recovery.lost.error is not None
    assert (recovery.lost.state, recovery.lost.error.code) == (JobState.FAILED, "worker.died")
    assert recovery.successor is not None
    assert recovery.successor.state is JobState.CREATED


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.WAITING, RunState.UNKNOWN])
def test_a_run_that_goes_on_is_left_alone(ports: Ports, tmp_path: Path, state: RunState) -> None:
    """Nothing is closed on a guess."""
    job = open_job(ports, register(ports, write_source(tmp_path))).job
    assert recover(ports, job, state) is None
    assert ports.catalog.job(job.job_id).state is JobState.PROCESSING


def test_a_job_that_closed_itself_meanwhile_is_left_alone(ports: Ports, tmp_path: Path) -> None:
    """The sensor read the list a moment too early."""
    job = register(ports, write_source(tmp_path))
    carry(ports, job)
    assert recover(ports, job, RunState.SUCCEEDED) is None
    assert ports.catalog.job(job.job_id).state is JobState.COMPLETED


def test_a_run_canceled_in_the_ui_cancels_the_job(ports: Ports, tmp_path: Path) -> None:
    """And nobody takes the dataset up again."""
    job = open_job(ports, register(ports, write_source(tmp_path))).job
    recovery = recover(ports, job, RunState.CANCELED)
    assert recovery is not None
    assert (recovery.lost.state, recovery.successor) == (JobState.CANCELED, None)


def test_a_dataset_that_kills_its_worker_again_and_again_is_left_to_a_person(ports: Ports, tmp_path: Path) -> None:
    """It may be what kills the worker."""
    job = register(ports, write_source(tmp_path))
    deaths = 0
    successor: Job | None = job
    while successor is not None:
        recovery = recover(ports, open_job(ports, successor).job, RunState.FAILED)
        assert recovery is not None
        deaths += 1
        successor = recovery.successor
    assert deaths == MAX_DEATHS

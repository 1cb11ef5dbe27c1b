"""Jobs whose run ended without a word are closed, and their dataset taken up again, a bounded number of times."""

from pathlib import Path

import pytest

from metricfoundry_dagster.actions.recover import MAX_DEATHS, recover
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.pipeline.flow import publish, run_stage
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import RunState
from metricfoundry_dagster_tests.embedded import carry, embedded_ports, open_job, progress_of, register, write_source


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


def test_a_run_that_had_a_part_to_do_completes_its_job_and_nothing_follows(ports: Ports, tmp_path: Path) -> None:
    """A person materialized one asset: the run succeeded, but the last asset, which closes the job, was not among its own."""
    attempt = open_job(ports, register(ports, write_source(tmp_path)))
    publish(run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt)), ports)
    recovery = recover(ports, attempt.job, RunState.SUCCEEDED)
    assert recovery is not None
    assert (recovery.lost.state, recovery.lost.error, recovery.lost.progress_percent) == (JobState.COMPLETED, None, 5)
    assert recovery.successor is None
    assert len(ports.catalog.jobs_of(attempt.dataset.dataset_id)) == 1


def test_a_dataset_of_which_a_part_was_made_is_not_taken_for_served(ports: Ports, tmp_path: Path) -> None:
    """Asking for the file again takes it through the whole flow; once it is served, a part made anew changes nothing."""
    source = write_source(tmp_path)
    recover(ports, open_job(ports, register(ports, source)).job, RunState.SUCCEEDED)
    again = register(ports, source)
    assert again.state is JobState.CREATED
    carry(ports, again)
    by_hand = ports.catalog.open_job(again.dataset_id, "by hand", None, None, ports.clock.now()).job
    recover(ports, by_hand, RunState.SUCCEEDED)
    assert register(ports, source).job_id == by_hand.job_id


def test_a_run_that_succeeded_without_beginning_its_job_did_nothing(ports: Ports, tmp_path: Path) -> None:
    """Its dataset is not forgotten."""
    job = register(ports, write_source(tmp_path))
    ports.catalog.claim_job(job.job_id, ports.clock.now())
    ports.catalog.attach_run(job.job_id, "run-1")
    recovery = recover(ports, ports.catalog.job(job.job_id), RunState.SUCCEEDED)
    assert recovery is not None
    assert recovery.successor is not None


def test_a_dataset_that_kills_its_worker_again_and_again_is_left_to_a_person(ports: Ports, tmp_path: Path) -> None:
    """It may be what kills the worker."""
    job = register(ports, write_source(tmp_path))
    deaths, hints = 0, []
    successor: Job | None = job
    while successor is not None:
        recovery = recover(ports, open_job(ports, successor).job, RunState.FAILED)
        assert recovery is not None
        deaths += 1
        successor = recovery.successor
        assert recovery.lost.error is not None
        hints.append(recovery.lost.error.hint)
    assert deaths == MAX_DEATHS == 5
    assert ["It is tried again by itself" in hint for hint in hints] == [True, True, True, True, False]
    assert "`datasets retry`" in hints[-1]

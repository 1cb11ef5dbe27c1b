"""Kill -9 in the middle: the dataset completes, nothing is lost, nothing is doubled."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster_tests.running_instance import RunningInstance, running_instance

_ROWS = 336_776


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInstance]:
    """One instance that all tests of this module hurt."""
    with running_instance(tmp_path_factory.mktemp("killed")) as instance:
        yield instance


def begin(instance: RunningInstance, flights_csv: Path, datasource: str) -> Job:
    """Register the flights in append mode and wait until a worker is in the middle of them."""
    wishes = Wishes(datasource=datasource, mode=Mode.APPEND)
    job = register_source(instance.ports, str(flights_csv), wishes).job

    def is_in_the_middle() -> bool:
        now = instance.ports.catalog.job(job.job_id)
        assert not now.state.ended, f"too fast to be hurt: {now}"
        return now.state is JobState.PROCESSING and now.progress_percent > 0

    instance.wait_until(is_in_the_middle, "the worker is in the middle")
    return instance.ports.catalog.job(job.job_id)


def assert_served_once(instance: RunningInstance, datasource: str) -> None:
    """Every row is there once, in one dataset."""
    sql = f"SELECT count(*), count(DISTINCT _dataset_id) FROM {datasource}"
    assert instance.ports.engine.query(sql, 1).rows == [(_ROWS, 1)]


def test_a_killed_worker_is_noticed_and_its_dataset_taken_up_again(instance: RunningInstance, flights_csv: Path) -> None:
    """The first job says that its worker died, the second completes."""
    job = begin(instance, flights_csv, "killed_worker")
    [worker] = instance.workers()
    worker.kill()
    ended = instance.wait_for_end("killed_worker")
    assert ended.state is JobState.COMPLETED, ended.error
    first = instance.ports.catalog.job(job.job_id)
    assert first.error is not None
    assert (first.state, first.error.code) == (JobState.FAILED, "worker.died")
    assert_served_once(instance, "killed_worker")


def test_a_killed_daemon_is_started_again_and_the_worker_goes_on(instance: RunningInstance, flights_csv: Path) -> None:
    """A run outlives the daemon that launched it."""
    begin(instance, flights_csv, "killed_daemon")
    [daemon] = [process for process in instance.daemons() if "run" in process.cmdline()][:1]
    daemon.kill()
    assert instance.wait_for_end("killed_daemon").state is JobState.COMPLETED
    assert_served_once(instance, "killed_daemon")
    instance.wait_until(lambda: bool(instance.daemons()), "the daemon is back")
    instance.drop("after/a.csv", b"a\n1\n")
    assert instance.wait_for_end("after").state is JobState.COMPLETED


def test_a_paused_worker_that_wakes_up_after_a_newer_attempt_is_fenced(instance: RunningInstance, flights_csv: Path) -> None:
    """Canceled while it slept, and the dataset retried: what the sleeper does later does not count."""
    job = begin(instance, flights_csv, "paused")
    [sleeper] = instance.workers()
    instance.pause(sleeper)
    try:
        assert instance.run("datasets", "cancel", job.dataset_id).returncode == 0
        assert instance.run("datasets", "retry", job.dataset_id).returncode == 0
        assert instance.wait_for_end("paused").state is JobState.COMPLETED
    finally:
        sleeper.send_signal(signal.SIGCONT)
    instance.wait_until(lambda: sleeper.pid not in {worker.pid for worker in instance.workers()}, "the sleeper has ended")
    first, second = instance.ports.catalog.jobs_of(job.dataset_id)[::-1]
    assert (first.state, second.state) == (JobState.CANCELED, JobState.COMPLETED)
    assert_served_once(instance, "paused")


def test_everything_killed_at_once_goes_on_after_a_restart(instance: RunningInstance, flights_csv: Path) -> None:
    """As after a power cut: `up`, web server, daemon and worker."""
    begin(instance, flights_csv, "power_cut")
    instance.kill()
    for process in instance.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    instance.start()
    assert instance.wait_for_end("power_cut").state is JobState.COMPLETED
    assert_served_once(instance, "power_cut")

"""Worker health: a process is known by its id and the moment it started."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
import yaml
from dagster._core.launcher.base import WorkerStatus

from metricfoundry_dagster.orchestration.launcher import LAUNCH_WITHIN_SECONDS, WarmRunLauncher
from metricfoundry_dagster.orchestration.tags import WORKER_HOST, WORKER_PID, WORKER_STARTED
from metricfoundry_dagster.orchestration.worker_process import worker_process, worker_tags
from metricfoundry_dagster.wiring import start_of


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def tags_of(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """The tags that this process would have given itself."""
    return {**worker_tags(), WORKER_PID: str(process.pid), WORKER_STARTED: str(start_of(process.pid))}


def health(tags: dict[str, str]) -> WorkerStatus:
    """The health of a run with these tags."""
    run = dg.DagsterRun(job_name="dataset_job", run_id="run", tags=tags)
    return WarmRunLauncher().check_run_worker_health(run).status


def test_a_living_worker_is_running(other_process: subprocess.Popen[bytes]) -> None:
    """As long as it lives."""
    assert health(tags_of(other_process)) is WorkerStatus.RUNNING


def test_a_killed_worker_is_not_found_even_as_a_zombie(other_process: subprocess.Popen[bytes]) -> None:
    """Its parent has not looked after it yet."""
    tags = tags_of(other_process)
    other_process.kill()
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(other_process.pid).status() == psutil.STATUS_ZOMBIE
    assert health(tags) is WorkerStatus.NOT_FOUND
    assert worker_process(tags) is None


def test_another_process_with_the_same_id_is_not_the_worker() -> None:
    """Ids are used again."""
    tags = {**worker_tags(), WORKER_STARTED: f"{start_of(os.getpid())}0"}
    assert health(tags) is WorkerStatus.NOT_FOUND


def test_a_worker_on_another_host_is_left_alone() -> None:
    """Nobody here can know."""
    assert health({**worker_tags(), WORKER_HOST: "elsewhere"}) is WorkerStatus.RUNNING


def test_run_monitoring_may_ask() -> None:
    """Dagster's own launcher says no."""
    assert WarmRunLauncher().supports_check_run_worker_health


@pytest.mark.parametrize("name", ["dagster.yaml", "deploy/dagster.yaml"])
def test_dagster_gives_a_launch_more_time_than_the_launcher_takes(name: str) -> None:
    """Else a run whose worker is about to come has failed by then."""
    monitoring = yaml.safe_load((Path(__file__).parents[2] / name).read_text())["run_monitoring"]
    assert monitoring["start_timeout_seconds"] >= LAUNCH_WITHIN_SECONDS + 3 * monitoring["poll_interval_seconds"]

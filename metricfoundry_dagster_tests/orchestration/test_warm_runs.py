"""Runs that are forked from a warm parent: carried, logged, canceled, killed and reported, on SQLite and on PostgreSQL."""

import os
import time
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._serdes import serialize_value

from metricfoundry_dagster.orchestration import warm_socket
from metricfoundry_dagster.orchestration.tags import WORKER_HOST
from metricfoundry_dagster.orchestration.warm_socket import Request
from metricfoundry_dagster.orchestration.worker_process import worker_process
from metricfoundry_dagster.ports.runs import JOB_ID_TAG
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_ports
from metricfoundry_dagster_tests.embedded import register, write_source
from metricfoundry_dagster_tests.orchestration.launching import CANCEL_TIMEOUT_SECONDS, Launching, launching

_FAILURE, _CANCELED, _SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def warm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launching]:
    """One instance for all tests of this module, on each storage."""
    url = request.getfixturevalue("postgresql").create_database() if request.param == "postgresql" else None
    folder = tmp_path_factory.mktemp(request.param)
    variables = {"METRICFOUNDRY_HOME": str(folder), "METRICFOUNDRY_CONTRACTS_DIR": str(folder / "contracts")}
    os.environ.update(variables)
    try:
        with launching(folder / "dagster", url) as warm:
            yield warm
    finally:
        for name in variables:
            del os.environ[name]


@pytest.fixture(autouse=True)
def _nobody_waits(warm: Launching) -> Iterator[None]:
    yield
    (warm.home / "go").unlink(missing_ok=True)


def test_a_dataset_is_taken_through_all_five_assets_and_their_checks(warm: Launching) -> None:
    ports = build_ports(Settings())
    job = register(ports, write_source(warm.home))
    warm.instance.add_dynamic_partitions("datasets", [job.dataset_id])
    tags = {"dagster/partition": job.dataset_id, JOB_ID_TAG: job.job_id}
    run_id = warm.launch("dataset_job", tags, module="metricfoundry_dagster.definitions")
    assert warm.wait_for_end(run_id) is _SUCCESS
    kinds = [entry.dagster_event.event_type_value for entry in warm.instance.all_logs(run_id) if entry.dagster_event]
    assert kinds.count("ASSET_MATERIALIZATION") == 5
    assert kinds.count("ASSET_CHECK_EVALUATION") == 7
    assert kinds.count(dg.DagsterEventType.RUN_START.value) == 1


def test_children_use_every_library_and_draw_their_own_random_numbers(warm: Launching) -> None:
    """A parent that had used Polars would hang each of them; two with its random state would draw the same."""
    runs = [warm.launch("library_job") for _ in range(3)]
    assert [warm.wait_for_end(run_id) for run_id in runs] == [_SUCCESS] * 3
    drawn = [(warm.home / f"{run_id}.chance").read_text().split() for run_id in runs]
    assert len({number for numbers in drawn for number in numbers}) == 6


def test_the_output_of_steps_is_where_dagster_looks_for_it(warm: Launching) -> None:
    """And that of the worker itself in a log of its own, which only we can read."""
    run_id = warm.launch("library_job")
    assert warm.wait_for_end(run_id) is _SUCCESS
    [captured] = [entry.dagster_event for entry in warm.instance.all_logs(run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)]
    assert captured is not None
    keys = captured.logs_captured_data.file_key
    data = warm.instance.compute_log_manager.get_log_data([run_id, "compute_logs", keys])
    assert b"seen 1000 [(499500,)]" in (data.stdout or b"")
    log = warm.home / "worker_logs" / f"{run_id}.log"
    assert "RUN_SUCCESS" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_a_worker_leads_a_session_of_its_own_and_can_be_asked_after(warm: Launching) -> None:
    run_id = warm.launch_and_begin("waiting_job")
    worker = worker_process(warm.run(run_id).tags)
    assert worker is not None
    assert os.getsid(worker.pid) == worker.pid
    assert worker.ppid() == warm.parent().pid
    assert warm.launcher.check_run_worker_health(warm.run(run_id)).status is WorkerStatus.RUNNING
    (warm.home / "go").touch()
    assert warm.wait_for_end(run_id) is _SUCCESS
    warm.wait_until(lambda: not warm.workers(), "the worker is gone")
    assert warm.launcher.check_run_worker_health(warm.run(run_id)).status is WorkerStatus.NOT_FOUND


def test_a_killed_worker_is_reported_at_once_with_the_signal(warm: Launching) -> None:
    """Nobody looks at the health of runs here: it is the parent that says so."""
    run_id = warm.launch_and_begin("waiting_job")
    worker = worker_process(warm.run(run_id).tags)
    assert worker is not None
    worker.kill()
    assert warm.wait_for_end(run_id) is _FAILURE
    [failure] = warm.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert "was killed by SIGKILL" in (failure.message or "")


def test_what_a_dead_worker_started_is_killed_too(warm: Launching) -> None:
    run_id = warm.launch_and_begin("resisting_job")
    [worker] = warm.workers()
    [started] = worker.children()
    worker.kill()
    assert warm.wait_for_end(run_id) is _FAILURE
    warm.wait_until(lambda: not started.is_running() or started.status() == psutil.STATUS_ZOMBIE, "it is gone too")


def test_a_canceled_run_is_interrupted(warm: Launching) -> None:
    run_id = warm.launch_and_begin("waiting_job")
    assert warm.launcher.terminate(run_id)
    assert warm.wait_for_end(run_id) is _CANCELED
    assert not warm.launcher.terminate(run_id)


def test_a_worker_that_resists_is_killed_in_the_end(warm: Launching) -> None:
    run_id = warm.launch_and_begin("resisting_job")
    started = time.monotonic()
    assert warm.launcher.terminate(run_id)
    assert warm.wait_for_end(run_id) is _CANCELED
    assert time.monotonic() - started >= CANCEL_TIMEOUT_SECONDS
    warm.wait_until(lambda: not warm.workers(), "the worker is gone")


def test_a_run_canceled_from_another_host_interrupts_itself(warm: Launching) -> None:
    """The launcher over there has no process to send a signal to."""
    run_id = warm.launch_and_begin("waiting_job")
    warm.instance.add_run_tags(run_id, {WORKER_HOST: "elsewhere"})
    assert warm.launcher.terminate(run_id)
    assert warm.wait_for_end(run_id) is _CANCELED


def test_a_run_that_is_asked_for_twice_is_carried_once(warm: Launching) -> None:
    """As by a launcher that got no reply."""
    run_id = warm.launch_and_begin("waiting_job")
    request = Request(run_id, serialize_value(warm.run(run_id).job_code_origin), server_id=None)
    with warm_socket.connected(warm.home, 60) as connection:
        warm_socket.send(connection, request)
        second = warm_socket.receive_reply(connection).pid
    assert second
    warm.wait_until(lambda: not psutil.pid_exists(second), "the second worker is gone")
    assert warm.run(run_id).status is dg.DagsterRunStatus.STARTED
    (warm.home / "go").touch()
    assert warm.wait_for_end(run_id) is _SUCCESS


def test_the_parent_shares_its_memory_and_holds_nothing_that_must_not_be_shared(warm: Launching) -> None:
    """One thread of ours, no connection but its socket; a worker has far less memory of its own than its parent holds."""
    run_id = warm.launch_and_begin("waiting_job")
    parent, [worker] = warm.parent(), warm.workers()
    assert parent.net_connections(kind="inet") == []
    assert not any(file.path.endswith((".db", ".db-wal")) for file in parent.open_files())
    assert worker.memory_full_info().uss < parent.memory_info().rss / 2
    (warm.home / "go").touch()
    assert warm.wait_for_end(run_id) is _SUCCESS


def test_a_killed_parent_is_replaced_and_its_workers_go_on(warm: Launching) -> None:
    first = warm.launch_and_begin("waiting_job")
    killed = warm.parent()
    killed.kill()
    second = warm.launch_and_begin("waiting_job")
    assert warm.parent().pid != killed.pid
    assert warm.launcher.check_run_worker_health(warm.run(first)).status is WorkerStatus.RUNNING
    (warm.home / "go").touch()
    assert [warm.wait_for_end(first), warm.wait_for_end(second)] == [_SUCCESS] * 2

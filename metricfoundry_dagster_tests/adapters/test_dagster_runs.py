"""Runs go to the Dagster of this home, and to no other that happens to listen."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import graphql
import pytest
from dagster_graphql.schema import create_schema

from metricfoundry_dagster.adapters.dagster_home import DagsterHome
from metricfoundry_dagster.adapters.dagster_runs import DagsterRuns
from metricfoundry_dagster.adapters.process_start import start_of
from metricfoundry_dagster.adapters.run_processes import RunProcesses
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.runs import RunState
from metricfoundry_dagster_tests.fakes.web_server import WebServer, web_server

JOB = Job("job", "d-1", 0, JobState.QUEUED, 0, None, None, None, datetime(2024, 1, 1, tzinfo=UTC), None)
FOR_EVER = "import time; time.sleep(1000)"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def note_up(home: Path, url: str, *, started: str | None = None) -> None:
    """Leave the record of an `up` whose process is this one, or one that began at another time."""
    begun = started or start_of(os.getpid())
    (home / "up.json").write_text(json.dumps({"pid": os.getpid(), "started": begun, "token": "t", "url": url}))


def runs_of(home: Path, url: str | None = None) -> DagsterRuns:
    return DagsterRuns(url=url, home=home, processes=processes_of(home, "pass"))


def processes_of(home: Path, code: str) -> RunProcesses:
    """Runs that do nothing but this Python code."""
    (home / "dagster").mkdir(exist_ok=True)
    (home / "dagster/.storage_made").touch()
    return RunProcesses(DagsterHome(home, None, 2, 3_600), command=(sys.executable, "-c", code))


def test_a_running_up_of_this_home_is_used(tmp_path: Path, server: WebServer) -> None:
    runs = runs_of(tmp_path)
    assert (runs.url, runs.is_answering()) == (None, False)
    note_up(tmp_path, server.url)
    assert (runs.url, runs.is_answering()) == (server.url, True)


def test_what_listens_where_a_killed_up_was_is_not_ours(tmp_path: Path, server: WebServer) -> None:
    note_up(tmp_path, server.url, started=f"{start_of(os.getpid())}0")
    assert (runs_of(tmp_path).url, runs_of(tmp_path).is_answering()) == (None, False)


@pytest.mark.parametrize("record", ["", "[]", '{"url": "http://127.0.0.1:1"}', '{"pid": -1, "started": 0, "url": "x"}'])
def test_a_record_that_cannot_be_read_names_no_server(tmp_path: Path, record: str) -> None:
    (tmp_path / "up.json").write_text(record)
    assert runs_of(tmp_path).url is None


def test_a_server_that_was_named_wins(tmp_path: Path, server: WebServer) -> None:
    note_up(tmp_path, "http://127.0.0.1:1")
    runs = runs_of(tmp_path, f"{server.url}/")
    assert (runs.url, runs.is_answering()) == (server.url, True)


def wait_for_end(processes: RunProcesses, run_id: str) -> RunState | None:
    """The state once the process of the run has ended."""
    while (state := processes.state(run_id)) is RunState.RUNNING:
        time.sleep(0.01)
    return state


@pytest.mark.parametrize(("code", "state"), [("pass", RunState.SUCCEEDED), ("raise SystemExit(1)", RunState.FAILED)])
def test_a_process_of_ours_is_seen_to_its_end(tmp_path: Path, code: str, state: RunState) -> None:
    processes = processes_of(tmp_path, code)
    assert wait_for_end(processes, processes.start(JOB)) is state


def test_a_run_in_a_process_is_known_to_every_command_until_it_is_killed(tmp_path: Path) -> None:
    """As when the command that began it was killed too: nobody's child, and no Dagster to ask."""
    begun = processes_of(tmp_path, FOR_EVER)
    run_id, later = begun.start(JOB), runs_of(tmp_path)
    assert later.state(run_id) is RunState.RUNNING
    assert begun.terminate(run_id)
    wait_for_end(begun, run_id)
    assert later.state(run_id) is RunState.FAILED


def test_a_run_outlives_the_command_that_began_it(tmp_path: Path) -> None:
    """Even a command that is killed at once: the lock is held from the very start."""
    processes_of(tmp_path, FOR_EVER)
    script = f"""
import os, signal, sys
from pathlib import Path
from metricfoundry_dagster_tests.adapters.test_dagster_runs import FOR_EVER, JOB, processes_of
print(processes_of(Path({str(tmp_path)!r}), "import os; print(os.getpid(), flush=True); " + FOR_EVER).start(JOB), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    run_id = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stdout.strip()
    later, log = runs_of(tmp_path), tmp_path / f"logs/{run_id}.log"
    assert later.state(run_id) is RunState.RUNNING
    while not log.read_text().endswith("\n"):
        time.sleep(0.01)
    os.kill(int(log.read_text()), signal.SIGKILL)
    while later.state(run_id) is RunState.RUNNING:
        time.sleep(0.01)
    assert later.state(run_id) is RunState.FAILED


def test_a_run_of_a_daemon_is_unknown_without_it(tmp_path: Path) -> None:
    """Its worker may live on: it is in a session of its own."""
    assert runs_of(tmp_path).state("elsewhere") is RunState.UNKNOWN


def test_a_run_that_dagster_ended_on_request_is_canceled(tmp_path: Path, server: WebServer) -> None:
    processes = processes_of(tmp_path, "raise SystemExit(1)")
    run_id = processes.start(JOB)
    wait_for_end(processes, run_id)
    server.answers["runOrError"] = {"runOrError": {"__typename": "Run", "status": "CANCELED"}}
    assert runs_of(tmp_path, server.url).state(run_id) is RunState.CANCELED


def test_a_process_may_be_dropped_while_it_lives(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run_id = processes_of(tmp_path, "import sys; sys.stdin.read()").start(JOB)
        while runs_of(tmp_path).state(run_id) is RunState.RUNNING:
            time.sleep(0.01)
    assert [str(warning.message) for warning in told] == []


def test_a_process_that_cannot_be_started_is_refused(tmp_path: Path) -> None:
    processes_of(tmp_path, "pass")
    with pytest.raises(WorldError, match=r"dagster\.refused"):
        RunProcesses(DagsterHome(tmp_path, None, 2, 3_600), command=(str(tmp_path / "nothing"),)).start(JOB)


def test_a_partition_that_is_there_already_does_no_harm(tmp_path: Path, server: WebServer) -> None:
    server.answers["addDynamicPartition"] = {"addDynamicPartition": {"__typename": "DuplicateDynamicPartitionError"}}
    assert runs_of(tmp_path, server.url).submit(JOB) == "launched"


def test_without_its_partition_no_run_is_launched(tmp_path: Path, server: WebServer) -> None:
    answer = {"__typename": "UnauthorizedError", "message": "read only"}
    server.answers["addDynamicPartition"] = {"addDynamicPartition": answer}
    with pytest.raises(WorldError, match="read only") as caught:
        runs_of(tmp_path, server.url).submit(JOB)
    assert (caught.value.code, len(server.asked)) == ("dagster.refused", 1)


@pytest.mark.parametrize(("results", "run_id"), [([], None), ([{"runId": "a"}], "a")])
def test_the_run_of_a_job_is_found(tmp_path: Path, server: WebServer, results: list[object], run_id: str | None) -> None:
    server.answers["runsOrError"] = {"runsOrError": {"__typename": "Runs", "results": results}}
    assert runs_of(tmp_path, server.url).run_of(JOB) == run_id
    assert runs_of(tmp_path).run_of(JOB) is None


def test_dagster_knows_everything_that_it_is_asked(tmp_path: Path, server: WebServer) -> None:
    """The server here is played; the schema is the real one."""
    server.answers["runsOrError"] = {"runsOrError": {"__typename": "Runs", "results": []}}
    server.answers["runOrError"] = {"runOrError": {"__typename": "Run", "status": "STARTED"}}
    server.answers["terminateRun"] = {"terminateRun": {"__typename": "TerminateRunSuccess"}}
    runs = runs_of(tmp_path, server.url)
    runs.submit(JOB)
    runs.run_of(JOB)
    assert runs.state("launched") is RunState.RUNNING
    runs.cancel("launched")
    assert len(server.asked) == 5
    schema = create_schema().graphql_schema
    assert [graphql.validate(schema, graphql.parse(query)) for query in server.asked] == [[]] * 5

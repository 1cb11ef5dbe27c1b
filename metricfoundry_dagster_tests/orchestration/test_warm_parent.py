"""The warm parent: there is one, it speaks only with us, it never forks what was used, and it follows the code."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget

from metricfoundry_dagster.orchestration import warm_socket
from metricfoundry_dagster.orchestration.imported_code import UsedParentError, require_nothing_used
from metricfoundry_dagster.orchestration.launcher import WarmRunLauncher
from metricfoundry_dagster.orchestration.warm_socket import Reply, Request
from metricfoundry_dagster_tests.orchestration.launching import WORKER_JOBS, Launching, launching

_SUCCESS = dg.DagsterRunStatus.SUCCESS
_NOBODY = 65534

#: Imports the code as the parent does, makes one library work, and tells whether a fork would still be allowed.
_USE = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
from metricfoundry_dagster.orchestration.imported_code import UsedParentError, import_code, require_nothing_used
import_code()
require_nothing_used()
print("imported", flush=True)
{use}
try:
    require_nothing_used()
except UsedParentError as error:
    print("used", error)
"""

_THREAD = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
_THREAD_WHEN_ASKED = f"import signal; signal.signal(signal.SIGUSR1, lambda *_: exec('{_THREAD}'))"


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Launching]:
    """An instance whose parent was not started yet, in a home whose path is too long for a socket's address."""
    with launching(tmp_path / ("long" * 30) / "dagster") as warm:
        yield warm


@pytest.fixture
def code_server() -> Iterator[GrpcServerTarget]:
    """A code server as `up` starts it, which web server and daemon share."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/code.sock"
        command = ["-m", "dagster", "code-server", "start", "--socket", path, "--module-name", WORKER_JOBS]
        with subprocess.Popen([sys.executable, *command, "--location-name", "jobs"], start_new_session=True) as server:
            while not Path(path).exists():
                assert server.poll() is None
                time.sleep(0.1)
            yield GrpcServerTarget(host="localhost", port=None, socket=path, location_name="jobs")
            os.killpg(server.pid, signal.SIGTERM)


@pytest.mark.parametrize(
    "use",
    [
        "import polars as pl; pl.DataFrame({'a': [1]}).select(pl.col('a') + 1)",
        "import duckdb; duckdb.execute('SELECT 1').fetchall()",
        "import pyarrow.csv, io; pyarrow.csv.read_csv(io.BytesIO(b'a\\n1\\n'))",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    ],
    ids=["polars", "duckdb", "pyarrow", "a thread"],
)
def test_importing_the_code_uses_nothing_and_using_a_library_forbids_to_fork(use: str) -> None:
    """Polars starts its threads when it is used first, and so do the others."""
    done = subprocess.run([sys.executable, "-c", _USE.format(use=use)], capture_output=True, text=True, timeout=120, check=True)
    first, second = done.stdout.splitlines()
    assert first == "imported"
    assert second.startswith("used threads beside the main one")


def test_a_process_with_a_second_thread_may_not_be_forked() -> None:
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.wait)
    thread.start()
    try:
        with pytest.raises(UsedParentError):
            require_nothing_used()
    finally:
        goes_on.set()
        thread.join()


def test_two_launchers_at_once_start_one_parent(warm: Launching) -> None:
    """Both launch; who came second found the lock held."""
    other = WarmRunLauncher()
    other.register_instance(warm.instance)
    runs = [warm.create("waiting_job", {}) for _ in range(2)]
    launchers = zip((warm.launcher, other), runs, strict=True)
    threads = [
        threading.Thread(target=launcher.launch_run, args=(LaunchRunContext(run, workspace=None),)) for launcher, run in launchers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(warm.parents()) == 1
    (warm.home / "go").touch()
    assert [warm.wait_for_end(run.run_id) for run in runs] == [_SUCCESS] * 2


def test_a_parent_that_cannot_start_fails_the_launch_with_its_last_words(warm: Launching) -> None:
    (warm.home / "dagster.yaml").write_text("run_launcher: [")
    with pytest.raises(DagsterLaunchFailedError, match="exit code 1") as raised:
        warm.launch("waiting_job")
    assert "ParserError" in str(raised.value)


def test_after_a_reload_of_the_code_location_runs_are_forked_from_new_code(
    warm: Launching, code_server: GrpcServerTarget
) -> None:
    """The parent becomes another: same process, so that it still looks after the run that goes on."""
    with WorkspaceProcessContext(warm.instance, code_server) as process:
        first = launch_from(process, warm)
        parent = warm.parent()
        assert times_ready(warm) == 1
        process.reload_code_location("jobs")
        second = launch_from(process, warm)
        assert times_ready(warm) == 2
        third = launch_from(process, warm)
        assert times_ready(warm) == 2
    assert warm.parent() == parent
    [worker] = [each for each in parent.children() if warm.run(first).tags["metricfoundry/worker_pid"] == str(each.pid)]
    worker.kill()
    assert warm.wait_for_end(first) is dg.DagsterRunStatus.FAILURE
    (warm.home / "go").touch()
    assert [warm.wait_for_end(second), warm.wait_for_end(third)] == [_SUCCESS] * 2


def test_another_configuration_of_the_instance_is_noticed_without_a_reload(warm: Launching) -> None:
    """As is a changed file of the package. Written again as it was, it is no other."""
    (warm.home / "go").touch()
    path = warm.home / "dagster.yaml"
    for content, times in ((path.read_text(), 1), (path.read_text(), 1), (path.read_text() + "\n# another\n", 2)):
        path.write_text(content)
        assert warm.wait_for_end(warm.launch("waiting_job")) is _SUCCESS
        assert times_ready(warm) == times


def test_a_parent_that_was_put_to_work_starts_anew(warm: Launching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was: a thread beside the main one is enough."""
    (warm.home / "go").touch()
    (tmp_path / "sitecustomize.py").write_text(_THREAD_WHEN_ASKED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert warm.wait_for_end(warm.launch("waiting_job")) is _SUCCESS
    parent = warm.parent()
    parent.send_signal(signal.SIGUSR1)
    warm.wait_until(lambda: parent.num_threads() > 1, "the parent is put to work")
    assert warm.wait_for_end(warm.launch("waiting_job")) is _SUCCESS
    assert (warm.parent(), times_ready(warm)) == (parent, 2)


def test_a_parent_that_no_new_start_would_help_refuses(warm: Launching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not start itself again and again."""
    (tmp_path / "sitecustomize.py").write_text(_THREAD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for _ in range(2):
        with pytest.raises(DagsterLaunchFailedError, match="UsedParentError"):
            warm.launch("waiting_job")
    assert times_ready(warm) == 1


def test_nonsense_on_the_socket_is_no_harm(warm: Launching) -> None:
    (warm.home / "go").touch()
    assert warm.wait_for_end(warm.launch("waiting_job")) is _SUCCESS
    parent = warm.parent()
    for nonsense in (b"\xff", b"[]", b"{}", b'{"run_id": 1, "more": 2}'):
        with warm_socket.connected(warm.home, 60) as connection:
            connection.sendall(nonsense)
            assert connection.recv(100) == b""
    run = warm.create("waiting_job", {})
    request = Request(run.run_id, "no origin", server_id=None)
    with warm_socket.connected(warm.home, 60) as connection:
        warm_socket.send(connection, request)
        assert warm_socket.receive_reply(connection).refusal
    assert warm.wait_for_end(warm.launch("waiting_job")) is _SUCCESS
    assert warm.parent() == parent


def test_the_socket_lies_in_a_folder_of_ours_alone(tmp_path: Path) -> None:
    folder = warm_socket.parent_folder(tmp_path)
    folder.chmod(0o777)
    assert warm_socket.parent_folder(tmp_path).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_process_is_refused_even_where_it_can_connect(tmp_path: Path) -> None:
    with warm_socket.listen(tmp_path) as listener:
        listener.settimeout(10)
        with warm_socket.connected(tmp_path, 10):
            ours, _ = listener.accept()
            with ours:
                warm_socket.require_own_user(ours)
        theirs = connect_as_nobody(warm_socket.parent_folder(tmp_path), listener)
        with theirs, pytest.raises(warm_socket.ForeignPeerError):
            warm_socket.require_own_user(theirs)


def test_messages_arrive_as_they_were_sent() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        request = Request("run", "origin " * 1_000, "server")
        warm_socket.send(one, request)
        assert warm_socket.receive_request(other) == request
        warm_socket.send(other, Reply(pid=7))
        assert warm_socket.receive_reply(one) == Reply(pid=7)


def connect_as_nobody(folder: Path, listener: socket.socket) -> socket.socket:
    """The listener's end of a connection from another user's process, to which every door is open."""
    [path] = folder.glob("*.sock")
    for each in (folder, path):
        each.chmod(0o777)
    pid = os.fork()
    if pid == 0:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                os.chdir(folder)
                os.setuid(_NOBODY)
                connection.connect(path.name)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    accepted, _ = listener.accept()
    return accepted


def launch_from(process: WorkspaceProcessContext, warm: Launching) -> str:
    """Launch a run as a process with this workspace does, and wait until it has begun."""
    workspace = process.create_request_context()
    location = workspace.get_code_location("jobs")
    origin = location.get_repository("__repository__").get_full_job("waiting_job").get_remote_origin()
    run = warm.create("waiting_job", {}, remote_job_origin=origin)
    warm.launcher.launch_run(LaunchRunContext(run, workspace))
    warm.wait_until((warm.home / f"{run.run_id}.began").exists, "the run begins")
    return run.run_id


def times_ready(warm: Launching) -> int:
    """How often the parent imported the code."""
    [log] = (warm.home / "warm_parent").glob("*.log")
    return sum(line.endswith(" ready") for line in log.read_text().splitlines())

"""`metricfoundry up` as a process of its own, for tests that kill parts of it.

Put here how to start, stop, watch and hurt it; what must hold afterwards belongs to the tests.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import requests
from pydantic import SecretStr

from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.settings import Settings, variable_of
from metricfoundry_dagster.wiring import build_ports
from metricfoundry_dagster_tests.embedded import embedded_settings

_TIMEOUT_SECONDS = 280


class RunningInstance:
    """An instance whose state lies in `folder`; `command` is the subcommand that runs it.

    `changes` are settings by name, such as the addresses of servers, to which its state then goes.
    """

    def __init__(self, folder: Path, *command: str, **changes: object) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = Settings(**{**embedded_settings(folder).model_dump(), "port": self.port, **changes})
        self.incoming = Path(self.settings.uploads_root) / "incoming"
        self._command = command or ("up",)
        self._changes = {variable_of(name): _spelled(value) for name, value in changes.items()}
        self._ports: Ports | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ports(self) -> Ports:
        """The ports of this process on the instance's state."""
        if self._ports is None:
            self._ports = build_ports(self.settings)
        return self._ports

    def environment(self) -> dict[str, str]:
        """The environment in which commands see the instance."""
        return {
            **os.environ,
            "METRICFOUNDRY_HOME": str(self.settings.home),
            "METRICFOUNDRY_CONTRACTS_DIR": str(self.settings.contracts_dir),
            "METRICFOUNDRY_SOURCE_ROOTS": str(self.folder),
            "METRICFOUNDRY_PORT": str(self.port),
            "METRICFOUNDRY_SENSOR_INTERVAL_SECONDS": "1",
            **self._changes,
        }

    def start(self) -> None:
        """Start it and wait until its web server answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "metricfoundry_dagster.cli.main", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=self.folder,
            )
        self.wait_until(self._answers, "the web server answers")

    def stop(self) -> int:
        """Press Ctrl-C and wait for the end; give the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=60)

    def kill(self) -> None:
        """Kill `up` itself, and nothing that it started."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the same instance."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "metricfoundry_dagster.cli.main", *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )

    def drop(self, key: str, content: bytes) -> None:
        """Put a file into the drop zone of a local store, as `cp` does."""
        path = self.incoming / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def newest_job(self, datasource: str) -> Job | None:
        """The newest job of the newest dataset; None before it is registered."""
        listed = self.ports.catalog.datasets(DatasetFilter(datasource=datasource, limit=1))
        return listed[0][1] if listed else None

    def wait_for_end(self, datasource: str) -> Job:
        """Wait until the newest dataset's newest job has ended and no other will follow; give that job."""

        def ended() -> bool:
            job = self.newest_job(datasource)
            return job is not None and job.state.ended and (job.error is None or job.error.code != "worker.died")

        self.wait_until(ended, f"the job of {datasource} ends")
        job = self.newest_job(datasource)
        assert job is not None
        return job

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds, or fail with what was waited for and the end of the logs."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if holds():
                return
            time.sleep(0.1)
        raise AssertionError(f"waited in vain until {what}\n{self._logs()}")

    def workers(self) -> list[psutil.Process]:
        """The run workers of this instance that live."""
        return [process for process in self.processes() if _is_called(process, "mf-run-worker")]

    def warm_parents(self) -> list[psutil.Process]:
        """The process that forks this instance's run workers, if it lives."""
        return without_children([process for process in self.processes() if _is_called(process, "mf-warm-parent")])

    def daemons(self) -> list[psutil.Process]:
        """The daemon of this instance, if it lives."""
        return [process for process in self.processes() if _runs(process, "dagster._daemon")]

    def processes(self) -> list[psutil.Process]:
        """Every living process that works on this instance's state, but `up` itself and this one."""
        found = []
        own = {os.getpid(), self._process.pid if self._process else 0}
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                is_ours = process.environ().get("METRICFOUNDRY_HOME") == str(self.settings.home)
                if is_ours and process.pid not in own and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def pause(self, worker: psutil.Process) -> None:
        """Stop a worker, but not while it holds the lock of a SQLite file: that would stop everybody else too."""

        def is_paused_alone() -> bool:
            worker.send_signal(signal.SIGSTOP)
            if all(_can_be_written(path) for path in self.settings.home.rglob("*.db")):
                return True
            worker.send_signal(signal.SIGCONT)
            return False

        self.wait_until(is_paused_alone, "the worker holds no lock")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"`up` ended\n{self._logs()}"
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/server_info", timeout=2).ok
        return False

    def _logs(self) -> str:
        paths = [self.folder / "up.log", *sorted((self.settings.home / "logs").glob("*.log"))]
        paths += sorted((self.settings.home / "dagster" / "worker_logs").glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in paths if path.exists())


@contextmanager
def running_instance(folder: Path, *command: str, **changes: object) -> Iterator[RunningInstance]:
    """A started instance that is gone afterwards, whatever happens."""
    instance = RunningInstance(folder, *command, **changes)
    try:
        instance.start()
        yield instance
    finally:
        with suppress(AssertionError, ProcessLookupError):
            instance.stop()
        for process in instance.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _spelled(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _can_be_written(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def _runs(process: psutil.Process, module: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(module in argument for argument in process.cmdline())
    return False


def without_children(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that none of the others started: a worker has its parent's name until it takes its own."""
    kept = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in {other.pid for other in processes}:
                kept.append(process)
    return kept


def _is_called(process: psutil.Process, name: str) -> bool:
    """A forked process has the command line of its parent, and a name of its own."""
    with suppress(psutil.NoSuchProcess):
        return process.name() == name
    return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

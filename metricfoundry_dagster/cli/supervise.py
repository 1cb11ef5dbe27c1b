"""Keeps the processes of an embedded instance alive, and leaves none behind.

What runs and with which files is here; what a person sees of it is in `up.py` and `demo.py`. Stopping is
crash-only: whatever is under way is killed, and taken up again at the next start.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psutil
import requests

from metricfoundry_dagster.cli.code_server import CodeServer
from metricfoundry_dagster.domain.errors import ConflictError, WorldError
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import dagster_environment, make_home, prepare_dagster, start_of

#: Every process of one instance carries this variable, so that none is overlooked when it stops.
_TOKEN_VARIABLE = "METRICFOUNDRY_UP_TOKEN"  # noqa: S105 - names a variable, holds no secret
_READY_TIMEOUT_SECONDS = 180
_STOP_TIMEOUT_SECONDS = 10
_KILL_TIMEOUT_SECONDS = 30
_MAX_RESTARTS = 10
#: Whoever lived this long was up; only ends that follow each other more quickly are a sign that it cannot come up.
_UP_SECONDS = 30.0
_CODE_SERVER = "code_server"
_LOOK_AT_CODE_SECONDS = 3.0
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class _Part:
    """One process that is kept alive."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    #: Since it last was up.
    restarts: int = 0


class Supervisor:
    """The code server, the web server and the daemon of one home directory. Use it through `supervised`."""

    def __init__(self, settings: Settings, port: int) -> None:
        self.url = f"http://{'127.0.0.1' if settings.host.is_unspecified else settings.host}:{port}"
        self._port = port
        self._lock: TextIO | None = None
        self._settings = settings
        self._token = uuid.uuid4().hex
        self._record = settings.home / "up.json"
        self._parts: list[_Part] = []
        self._environment: dict[str, str] = {}
        self._workspace: list[str] = []
        self._code = CodeServer(settings.home)
        self._code_looked_at = 0.0

    def start(self) -> None:
        """Start what the others need, after clearing away what a killed instance of this home left behind.

        Raises:
            ConflictError: `instance.running` when another instance uses the home, `instance.port_in_use`.
        """
        self._lock = self._lock_home()
        self._clear_away_earlier()
        _require_free_port(str(self._settings.host), self._port)
        dagster_home = prepare_dagster(self._settings)
        self._workspace = ["-w", str(self._code.make_room())]
        self._environment = {
            **os.environ,
            **dagster_environment(self._settings),
            _TOKEN_VARIABLE: self._token,
        }
        document = {"pid": os.getpid(), "started": start_of(os.getpid()), "token": self._token, "url": self.url}
        unfinished = self._record.with_suffix(".part")
        unfinished.write_text(json.dumps(document))
        unfinished.replace(self._record)
        self._add(_Part(_CODE_SERVER, self._code.command))
        # Once, so that the first run finds it; after that the launcher looks after it.
        warm_parent = ["-m", "metricfoundry_dagster.orchestration.warm_parent", str(dagster_home), "--stay"]
        self._spawn(_Part("warm_parent", [sys.executable, *warm_parent]))

    def wait_until_ready(self) -> None:
        """Start the web server and the daemon once the code is there, and return when the web server answers.

        Raises:
            WorldError: `dagster.unreachable` when either does not in three minutes.
        """
        self._wait_until(self._code.is_listening, _CODE_SERVER)
        webserver = ["-m", "dagster_webserver", "-h", str(self._settings.host), "-p", str(self._port), *self._workspace]
        self._add(_Part("webserver", [sys.executable, *webserver]))
        self._add(_Part("daemon", [sys.executable, "-m", "dagster._daemon", "run", *self._workspace]))
        self._wait_until(self._answers, "webserver")

    def keep_alive(self) -> None:
        """Start again what has ended. Call it every second or so.

        Raises:
            WorldError: `dagster.unreachable` when a part ends again and again, each time before it was up.
        """
        self._look_after_code()
        for part in self._parts:
            if part.process is not None and part.process.poll() is not None:
                was_up = time.monotonic() - part.started_at > _UP_SECONDS
                part.restarts = 1 if was_up else part.restarts + 1
                if part.restarts > _MAX_RESTARTS:
                    message = f"the {part.name} ended {part.restarts} times; see {self._log(part.name)}"
                    raise WorldError("dagster.unreachable", message)
                self._spawn(part)

    def stop(self) -> None:
        """End every process of this instance: the parts politely, run workers and stragglers at once.

        Without effect when it was never started, so that the record of another instance stays.
        """
        if self._lock is None:
            return
        for part in self._parts:
            if part.process is not None and part.process.poll() is None:
                part.process.send_signal(signal.SIGTERM)
        _kill_marked(self._token, grace_seconds=_STOP_TIMEOUT_SECONDS, spared={p.process.pid for p in self._parts if p.process})
        for part in self._parts:
            if part.process is not None:
                part.process.wait()
        self._record.unlink(missing_ok=True)
        self._code.clear_away()
        self._lock.close()

    def _wait_until(self, holds: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            self.keep_alive()
            if holds():
                return
            time.sleep(0.1)
        raise WorldError("dagster.unreachable", f"Dagster did not come up at {self.url}; see {self._log(name)}")

    def _answers(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/server_info", timeout=2).ok
        return False

    def _look_after_code(self) -> None:
        """Kill a code server that has lost its code, so that it is started again."""
        code = self._parts[0]
        if time.monotonic() - self._code_looked_at > _LOOK_AT_CODE_SECONDS and code.process is not None:
            self._code_looked_at = time.monotonic()
            if self._code.has_lost_its_code(code.process.pid):
                code.process.kill()
                code.process.wait()

    def _add(self, part: _Part) -> None:
        self._parts.append(part)
        self._spawn(part)

    def _spawn(self, part: _Part) -> None:
        log_path = self._log(part.name)
        log_path.parent.mkdir(parents=True, exist_ok=True)
        part.started_at = time.monotonic()
        with log_path.open("ab") as log:
            part.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules, no shell
                part.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._environment,
            )

    def _log(self, name: str) -> Path:
        return self._settings.home / "logs" / f"{name}.log"

    def _lock_home(self) -> TextIO:
        """Hold the home as long as this process lives, however it ends."""
        make_home(self._settings)
        lock = (self._settings.home / "up.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            where = self._earlier().get("url", "an address that it has not told yet")
            raise ConflictError("instance.running", f"{self._settings.home} is in use, at {where}") from None
        return lock

    def _earlier(self) -> dict[str, str]:
        try:
            document: dict[str, str] = json.loads(self._record.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return document

    def _clear_away_earlier(self) -> None:
        if token := self._earlier().get("token"):
            _kill_marked(token, grace_seconds=0, spared=set())


@contextmanager
def supervised(settings: Settings, port: int) -> Iterator[Supervisor]:
    """Start an instance, give it, and stop it whatever happens. Ctrl-C ends the block; SIGTERM and SIGHUP do the same.

    SIGINT is handled here too: a shell that starts a command in the background lets it ignore that signal.
    """
    supervisor = Supervisor(settings, port)
    earlier = {number: signal.signal(number, _interrupt) for number in _ENDING_SIGNALS}
    try:
        supervisor.start()
        with suppress(KeyboardInterrupt):
            yield supervisor
    finally:
        # A second Ctrl-C must not leave processes behind.
        with _uninterrupted():
            supervisor.stop()
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    earlier = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _require_free_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConflictError("instance.port_in_use", f"port {port} of this machine: {error.strerror}") from None


def _kill_marked(token: str, *, grace_seconds: float, spared: set[int]) -> None:
    """Kill every process that carries the token; those in `spared` have `grace_seconds` to go by themselves.

    What a kernel does not let go after half a minute more (a disk that hangs) is left to it.
    """
    deadline = time.monotonic() + grace_seconds
    while (marked := _marked(token)) and time.monotonic() < deadline + _KILL_TIMEOUT_SECONDS:
        in_time = time.monotonic() < deadline
        for process in marked:
            if not (in_time and (process.pid in spared or _has_ancestor(process, spared))):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        psutil.wait_procs(marked, timeout=0.1)


def _marked(token: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            is_ours = process.pid != os.getpid() and process.environ().get(_TOKEN_VARIABLE) == token
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _has_ancestor(process: psutil.Process, pids: set[int]) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(parent.pid in pids for parent in process.parents())
    return False

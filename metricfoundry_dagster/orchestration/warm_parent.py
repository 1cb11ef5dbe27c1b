"""The warm parent: imports the code, rehearses a run, forks a worker for each request: `python -m … DAGSTER_HOME [--stay]`.

There is one per DAGSTER_HOME and host. A worker shares whatever its parent holds, so the parent holds nothing that must
not be shared: no connection, no thread, no library that has been used. It makes sure of that before each fork.

Not here: what a worker does (`run_worker.py`), who asks (`launcher.py`), what is imported (`imported_code.py`).
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from metricfoundry_dagster.orchestration import warm_socket
from metricfoundry_dagster.orchestration.imported_code import (
    fingerprint,
    import_code,
    is_unused,
    require_nothing_used,
    resolve_job,
)
from metricfoundry_dagster.orchestration.process_settings import process_settings
from metricfoundry_dagster.orchestration.warm_socket import Reply, Request
from metricfoundry_dagster.orchestration.worker_logs import sweep_worker_logs

#: As `ps` and `top` show it, and what it has forked. Fifteen bytes at the most.
PARENT_NAME = "mf-warm-parent"
WORKER_NAME = "mf-run-worker"
REPORTER_NAME = "mf-run-reporter"
#: A parent for which nobody has work gives its memory back; the next launch starts another.
_IDLE_SECONDS = 900.0
_SWEEP_INTERVAL_SECONDS = 3_600.0
_SPEAK_WITHIN_SECONDS = 2.0
#: Read by libraries in this process and its children.
_ENVIRONMENT = {
    # Its pool of threads starts when NumPy is imported, for matrices that nobody multiplies here.
    "OPENBLAS_NUM_THREADS": "1",
    # Dagster writes the materializations of a batch this many at a time; without it one by one.
    "DAGSTER_EVENT_BATCH_SIZE": "1000",
}
_STAY = "--stay"
_HELD = "--held="
#: No run began: something in the worker failed before Dagster could be told.
_EXIT_BROKEN = 70


@dataclass(slots=True)
class _Held:
    """What outlives the parent's code when it starts itself anew."""

    lock: int
    listener: int
    #: The runs that living children carry, by process id.
    runs: dict[int, str] = field(default_factory=dict)


class WarmParent:
    """Forks a worker for each request until it is killed, or has been idle for long."""

    def __init__(self, home: Path, held: _Held, *, stay: bool) -> None:
        self._home = home
        self._held = held
        self._stay = stay
        self._listener = socket.socket(fileno=held.listener)
        self._fingerprint = fingerprint(home)
        self._server_id: str | None = None
        self._was_unused = False
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def warm_up(self) -> None:
        """Import the code and rehearse; from here on its memory is never written to again, so that children share it."""
        from metricfoundry_dagster.orchestration.rehearse_run import rehearse_run
        from metricfoundry_dagster.orchestration.worker_instance import engines_of, make_worker_instance

        gc.disable()
        import_code()
        self._instance = make_worker_instance(self._home)
        rehearse_run(engines_of(self._instance))
        gc.collect()
        gc.freeze()
        gc.enable()
        self._was_unused = is_unused()

    def serve(self) -> None:
        """Answer requests and look after children."""
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        used_at = swept_at = time.monotonic()
        while self._held.runs or self._stay or time.monotonic() - used_at < _IDLE_SECONDS:
            self._bury_children()
            ready, _, _ = select.select([self._held.listener, self._woken], [], [], _IDLE_SECONDS)
            with suppress(BlockingIOError):
                os.read(self._woken, 512)
            if self._held.listener in ready:
                self._answer()
            if ready:
                used_at = time.monotonic()
            if time.monotonic() - swept_at > _SWEEP_INTERVAL_SECONDS:
                swept_at = time.monotonic()
                sweep_worker_logs(self._home, process_settings().worker_log_days)

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(_SPEAK_WITHIN_SECONDS)
            try:
                warm_socket.require_own_user(connection)
                request = warm_socket.receive_request(connection)
                end = self._end_of(request)
                warm_socket.send(connection, Reply() if end else self._launch(request, connection))
            except (OSError, ValueError, warm_socket.ForeignPeerError) as error:
                _say(f"a request was not answered: {error}")
                return
        if end:
            self._start_anew(end)

    def _end_of(self, request: Request) -> str | None:
        """Why this parent can fork no worker for the request and another could; None when it can, or no other could either."""
        if self._server_id is None:
            self._server_id = request.server_id
        if request.server_id not in {None, self._server_id} or fingerprint(self._home) != self._fingerprint:
            return "the code has changed"
        return "something here was put to work" if self._was_unused and not is_unused() else None

    def _launch(self, request: Request, connection: socket.socket) -> Reply:
        from metricfoundry_dagster.orchestration.run_worker import carry

        try:
            resolve_job(request.job_origin)
            pid = self._fork(lambda: carry(request.run_id, self._home, self._instance), WORKER_NAME, connection)
        except Exception as error:  # noqa: BLE001 - the launcher is told of it, and this process goes on
            traceback.print_exc()
            return Reply(refusal=f"{type(error).__name__}: {error}")
        self._held.runs[pid] = request.run_id
        return Reply(pid=pid)

    def _bury_children(self) -> None:
        """Look after every child that has ended, and report the run of one that was not let finish."""
        while (ended := _ended_child()) is not None:
            # Until it is buried nobody else can have its id, so what is left of its group is its own.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(ended.si_pid, signal.SIGKILL)
            os.waitpid(ended.si_pid, 0)
            run_id = self._held.runs.pop(ended.si_pid, None)
            if run_id is not None and ended.si_status != 0:
                self._report(run_id, _describe_end(ended))

    def _report(self, run_id: str, cause: str) -> None:
        """By another child, so that this process never connects to anything. Run monitoring finds it too, only later."""
        from metricfoundry_dagster.orchestration.run_worker import report_death

        _say(f"the worker of run {run_id} {cause}")
        with suppress(Exception):
            self._fork(lambda: report_death(run_id, cause, self._instance), REPORTER_NAME)

    def _fork(self, work: Callable[[], None], name: str, *connections: socket.socket) -> int:
        require_nothing_used()
        _flush()
        pid = os.fork()
        if pid == 0:
            self._become_child(work, name, connections)
        return pid

    def _become_child(self, work: Callable[[], None], name: str, connections: tuple[socket.socket, ...]) -> NoReturn:
        code = _EXIT_BROKEN
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            _name_process(name)
            # Whoever holds the lock is the parent, and whoever holds the socket answers it.
            for descriptor in (self._held.lock, self._woken, self._waker):
                os.close(descriptor)
            for each in (self._listener, *connections):
                each.close()
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the parent's loop must not go on in here
            traceback.print_exc()
        finally:
            _flush()
            # Handlers of the parent's exit are none of ours, and there is nothing left to tear down.
            os._exit(code)

    def _start_anew(self, reason: str) -> NoReturn:
        """Become a parent of the present code: same process, so children and waiting requests stay ours."""
        _say(f"{reason}: starting anew")
        for descriptor in (self._held.lock, self._held.listener):
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - has no other form
        held = json.dumps({"lock": self._held.lock, "listener": self._held.listener, "runs": self._held.runs})
        _flush()
        _execute(str(self._home), _HELD + held, *([_STAY] if self._stay else []))


def main(arguments: list[str]) -> int:
    """Be the parent of this DAGSTER_HOME; give 0 when another is, or when nobody needed us any more."""
    home = Path(arguments[0])
    os.environ.update(_ENVIRONMENT, DAGSTER_HOME=str(home))
    held = next((_read_held(each) for each in arguments if each.startswith(_HELD)), None) or _take_hold(home)
    if held is None:
        return 0
    _name_process(PARENT_NAME)
    parent = WarmParent(home, held, stay=_STAY in arguments)
    parent.warm_up()
    _say("ready")
    parent.serve()
    return 0


def _take_hold(home: Path) -> _Held | None:
    lock = warm_socket.lock_parent(home)
    return None if lock is None else _Held(lock, warm_socket.listen(home).detach())


def _read_held(argument: str) -> _Held:
    document: dict[str, Any] = json.loads(argument.removeprefix(_HELD))
    for descriptor in (document["lock"], document["listener"]):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - has no other form
    runs = {int(pid): run_id for pid, run_id in document["runs"].items()}
    return _Held(document["lock"], document["listener"], runs)


def _execute(*arguments: str) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", __spec__.name, *arguments])  # noqa: S606 - our own module, no shell


def _ended_child() -> Any:
    """A child that has ended and is not buried yet; None when there is none."""
    with suppress(ChildProcessError):
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None


def _describe_end(ended: Any) -> str:
    if ended.si_code == os.CLD_EXITED:
        return f"(process {ended.si_pid}) ended with exit code {ended.si_status}"
    return f"(process {ended.si_pid}) was killed by {signal.Signals(ended.si_status).name}"


def _name_process(name: str) -> None:
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _say(message: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {message}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

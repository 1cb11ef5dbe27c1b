"""The run launcher: has each run forked from the warm parent, and tells Dagster how its worker is.

Dagster's default launcher has no worker health, so a killed worker would never be noticed. How a worker comes to be is
in `warm_parent.py`; what it does is in `run_worker.py`.

Source: the launcher interface of the pinned version, `dagster._core.launcher.base.RunLauncher`.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import dagster as dg
import psutil
from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from metricfoundry_dagster.orchestration import warm_socket
from metricfoundry_dagster.orchestration.tags import WORKER_HOST
from metricfoundry_dagster.orchestration.warm_socket import Reply, Request
from metricfoundry_dagster.orchestration.worker_process import is_elsewhere, worker_process

#: Importing the code takes some seconds, and many times that on a busy machine. Dagster must give a run more than this
#: to start: `run_monitoring.start_timeout_seconds` in `dagster.yaml`.
LAUNCH_WITHIN_SECONDS = 120.0
_ASK_AGAIN_SECONDS = 0.02
_SHOWN_LOG_CHARS = 2_000


class WarmRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Has each run carried by a process of its own, in a session of its own, forked from one that has imported the code."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._parent: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        super().__init__()  # type: ignore[no-untyped-call] # Dagster's base class has no annotations

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What `dagster.yaml` says of this launcher."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """It has no options."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Build it from `dagster.yaml`."""
        del config_value
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Have a worker forked, by a parent that is started when none lives; the worker reports the rest itself.

        Raises:
            DagsterLaunchFailedError: no parent could be had, or it could not fork. Dagster marks the run failed.
        """
        run = context.dagster_run
        request = Request(run.run_id, serialize_value(run.job_code_origin), _server_id(context))
        deadline = time.monotonic() + LAUNCH_WITHIN_SECONDS
        while time.monotonic() < deadline:
            reply = self._ask(request, deadline - time.monotonic())
            if reply is not None and reply.refusal:
                raise _failure(f"the warm parent forked no worker: {reply.refusal}")
            if reply is not None and reply.pid:
                return
            time.sleep(_ASK_AGAIN_SECONDS)
        raise _failure(f"no worker within {LAUNCH_WITHIN_SECONDS:.0f} seconds; {self._last_words()}")

    def terminate(self, run_id: str) -> bool:
        """Interrupt the worker, and kill it when it does not end in time; False when it is gone already."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if is_elsewhere(run.tags):
            return True  # the worker looks at its run's status from time to time
        worker = worker_process(run.tags)
        if worker is None:
            self._instance.report_run_canceled(run, message="The run's worker was gone already.")
            return False
        _interrupt(worker, kill_after_seconds=self._instance.run_monitoring_cancel_timeout_seconds)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process that carries the run lives. On another host nobody here can know."""
        if is_elsewhere(run.tags):
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"the worker is on {run.tags[WORKER_HOST]}, ask there")
        if worker_process(run.tags) is not None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the process that carried the run is gone")

    def _ask(self, request: Request, within_seconds: float) -> Reply | None:
        """The parent's reply; None when it is to be asked again.

        Asking again is safe also when the reply was lost: of two workers of a run, the second ends at once.
        """
        try:
            with warm_socket.connected(self._home, within_seconds) as connection:
                warm_socket.send(connection, request)
                return warm_socket.receive_reply(connection)
        except OSError:
            self._start_parent()
            return None
        except warm_socket.ForeignPeerError as error:
            raise _failure(f"the warm parent is not ours: {error}") from error

    def _start_parent(self) -> None:
        """Start a parent unless the one started last is on its way. Of two, the second ends at once."""
        with self._starting:
            if self._parent is not None:
                code = self._parent.poll()
                if code is None:
                    return
                self._parent = None
                if code > 0:
                    raise _failure(f"the warm parent ended with exit code {code}; {self._last_words()}")
            with warm_socket.log_path(self._home).open("ab") as log:
                self._parent = subprocess.Popen(  # noqa: S603 - our own module, no shell
                    [sys.executable, "-m", "metricfoundry_dagster.orchestration.warm_parent", str(self._home)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            # Buries it, and keeps it from being dropped while it lives.
            threading.Thread(target=self._parent.wait, name="warm parent", daemon=True).start()

    @property
    def _home(self) -> Path:
        return Path(self._instance.root_directory)

    def _last_words(self) -> str:
        path = warm_socket.log_path(self._home)
        said = path.read_text(errors="replace")[-_SHOWN_LOG_CHARS:] if path.exists() else ""
        return f"{path} ends with: {said}" if said else f"{path} is empty"


def _failure(message: str) -> DagsterLaunchFailedError:
    return DagsterLaunchFailedError(message)  # type: ignore[no-untyped-call] # Dagster's class has no annotations


def _server_id(context: LaunchRunContext) -> str | None:
    """The id of the code server that knows the run's job: another one after the code location was reloaded.

    None for a server that the launching process started for itself: a daemon starts such a one anew every minute.
    """
    origin = context.dagster_run.remote_job_origin
    if context.workspace is None or origin is None or not context.workspace.has_code_location(origin.location_name):
        return None
    location = context.workspace.get_code_location(origin.location_name)
    is_shared = isinstance(location.origin, GrpcServerCodeLocationOrigin)
    return location.server_id if is_shared and isinstance(location, GrpcServerCodeLocation) else None


def _interrupt(worker: psutil.Process, *, kill_after_seconds: float) -> None:
    """Ask the worker to end, and see to it that it does. By a descriptor: its id may be another's by then."""
    try:
        descriptor = os.pidfd_open(worker.pid)
    except ProcessLookupError:
        return
    worker.send_signal(signal.SIGINT)
    threading.Thread(target=_kill_later, args=(worker.pid, descriptor, kill_after_seconds), name="kill", daemon=True).start()


def _kill_later(pid: int, descriptor: int, after_seconds: float) -> None:
    try:
        ended, _, _ = select.select([descriptor], [], [], after_seconds)
        if not ended:
            # It leads its session, so all that it started is in its group.
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)

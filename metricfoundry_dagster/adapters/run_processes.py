"""Runs in processes of our own, for when no Dagster answers: started here, and found again by later commands.

Each process holds the lock of `<home>/runs/<run_id>.lock` as long as it lives, from its very start on: the file is
opened and locked here and inherited. The system lets go of it however the process ends. A process outlives its
parent: a run is not to end because a terminal was closed.
"""

import fcntl
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from metricfoundry_dagster.adapters.dagster_home import DagsterHome
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.runs import RunState

_EXECUTE_JOB = (sys.executable, "-m", "metricfoundry_dagster.orchestration.execute_job")


class RunProcesses:
    """The processes of one home. `command` is given the job's and the run's id as its last arguments."""

    def __init__(self, dagster: DagsterHome, *, command: Sequence[str] = _EXECUTE_JOB) -> None:
        self._home = dagster.home
        self._dagster = dagster
        self._command = command
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, job: Job) -> str:
        """Start a process that carries the job, and give the id of its run.

        Raises:
            WorldError: `dagster.refused` when it cannot be started, `dagster.unreachable` without Dagster's storage.
        """
        run_id = str(uuid.uuid4())
        self._dagster.prepare()
        environment = {**os.environ, **self._dagster.environment()}
        try:
            self._children[run_id] = child = self._spawn(job, run_id, environment)
        except OSError as error:
            raise WorldError("dagster.refused", f"no process can be started for a run: {error.strerror}") from error
        # Reaps it, and keeps it from being dropped while it lives.
        threading.Thread(target=child.wait, name=f"run {run_id}", daemon=True).start()
        return run_id

    def terminate(self, run_id: str) -> bool:
        """Ask a process that was started here to end; False when the run is none of these."""
        child = self._children.get(run_id)
        if child is None:
            return False
        child.terminate()
        return True

    def state(self, run_id: str) -> RunState | None:
        """What the run's process is doing, whoever started it; None when no process of this home carried the run."""
        child = self._children.get(run_id)
        if child is not None:
            code = child.poll()
            return RunState.RUNNING if code is None else RunState.FAILED if code else RunState.SUCCEEDED
        try:
            descriptor = os.open(self._lock_path(run_id), os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return RunState.RUNNING
        finally:
            os.close(descriptor)
        return RunState.FAILED

    def _spawn(self, job: Job, run_id: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        log_path, lock_path = self._home / "logs" / f"{run_id}.log", self._lock_path(run_id)
        for path in (log_path, lock_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with lock_path.open("xb") as lock, log_path.open("ab") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*self._command, job.job_id, run_id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                pass_fds=(lock.fileno(),),
            )

    def _lock_path(self, run_id: str) -> Path:
        return self._home / "runs" / f"{run_id}.lock"

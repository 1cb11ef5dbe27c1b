"""The run launcher: one process per run, whose health run monitoring can ask for.

Dagster's default launcher has no worker health, so a killed worker would never be noticed. How a worker process
comes to be is in `_spawn`; what it does is in `run_worker.py`.

Source: the launcher interface of the pinned version, `dagster._core.launcher.base.RunLauncher`.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
import psutil
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from metricfoundry_dagster.orchestration.tags import WORKER_HOST, WORKER_PID, WORKER_STARTED

#: Clocks of the process table are coarse; two processes with one id start further apart than this.
_SAME_START_SECONDS = 0.05


class ProcessRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Starts each run as a process in a session of its own, so that it outlives the daemon that launched it."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
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
        """Start the worker of a run; it reports the rest itself."""
        run_id = context.dagster_run.run_id
        self._reap()
        self._workers[run_id] = _spawn(run_id, Path(self._instance.root_directory))

    def terminate(self, run_id: str) -> bool:
        """Interrupt the worker; False when it is gone already."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        worker = worker_process(run.tags)
        if worker is None:
            self._instance.report_run_canceled(run, message="The run's worker was gone already.")
            return False
        worker.send_signal(signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process that carries the run lives. On another host nobody here can know."""
        self._reap()
        host = run.tags.get(WORKER_HOST)
        if host is not None and host != socket.gethostname():
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"the worker is on {host}, ask there")
        if worker_process(run.tags) is not None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the process that carried the run is gone")

    def _reap(self) -> None:
        self._workers = {run_id: worker for run_id, worker in self._workers.items() if worker.poll() is None}


def worker_tags() -> dict[str, str]:
    """The tags by which the present process can be found again as a run's worker."""
    process = psutil.Process()
    return {
        WORKER_HOST: socket.gethostname(),
        WORKER_PID: str(process.pid),
        WORKER_STARTED: f"{process.create_time():.2f}",
    }


def worker_process(tags: Mapping[str, str]) -> psutil.Process | None:
    """The living process that these tags name; None when it is gone and perhaps another has its id."""
    if WORKER_PID not in tags:
        return None
    try:
        process = psutil.Process(int(tags[WORKER_PID]))
        same = abs(process.create_time() - float(tags[WORKER_STARTED])) < _SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _spawn(run_id: str, root: Path) -> subprocess.Popen[bytes]:
    log_path = root / "worker_logs" / f"{run_id}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "metricfoundry_dagster.orchestration.run_worker", run_id],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "DAGSTER_HOME": str(root)},
        )

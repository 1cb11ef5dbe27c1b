"""A Dagster instance whose runs are launched as the daemon does, without a daemon: who reports a dead worker is then known.

Put here what several tests do with it; assertions belong to the tests.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import yaml
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.instance import InstanceRef
from dagster._core.launcher.base import LaunchRunContext

from metricfoundry_dagster.orchestration.launcher import WarmRunLauncher
from metricfoundry_dagster_tests.running_instance import without_children

_TIMEOUT_SECONDS = 120
_DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"
WORKER_JOBS = "metricfoundry_dagster_tests.orchestration.worker_jobs"
#: A worker that resists is killed this long after it was asked to end.
CANCEL_TIMEOUT_SECONDS = 2


class Launching:
    """One DAGSTER_HOME with its instance and launcher."""

    def __init__(self, home: Path, postgres_url: str | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        document = yaml.safe_load(_DAGSTER_YAML.read_text())
        document["run_monitoring"]["cancel_timeout_seconds"] = CANCEL_TIMEOUT_SECONDS
        if postgres_url is not None:
            address = postgres_url.replace("postgresql://", "postgresql+psycopg2://")
            document["storage"] = {"postgres": {"postgres_url": address}}
        (home / "dagster.yaml").write_text(yaml.safe_dump(document))
        self.instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home)))

    @property
    def launcher(self) -> WarmRunLauncher:
        """The launcher that `dagster.yaml` names."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        return launcher

    def create(self, job_name: str, tags: Mapping[str, str], *, module: str = WORKER_JOBS, **more: Any) -> dg.DagsterRun:
        """A run that is not launched yet."""
        job = ReconstructableRepository.for_module(module, "defs").get_reconstructable_job(job_name)
        tags = {"folder": str(self.home), **tags}
        return self.instance.create_run_for_job(job.get_definition(), job_code_origin=job.get_python_origin(), tags=tags, **more)

    def launch(self, job_name: str, tags: Mapping[str, str] | None = None, *, module: str = WORKER_JOBS) -> str:
        """Create a run and launch it; its id."""
        run = self.create(job_name, tags or {}, module=module)
        self.launcher.launch_run(LaunchRunContext(run, workspace=None))
        return run.run_id

    def launch_and_begin(self, job_name: str) -> str:
        """The same, and wait until its op has begun."""
        run_id = self.launch(job_name)
        self.wait_until((self.home / f"{run_id}.began").exists, f"{job_name} begins")
        return run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        """The run as it is now."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def wait_for_end(self, run_id: str) -> dg.DagsterRunStatus:
        """Wait until the run has ended; how."""
        self.wait_until(lambda: self.run(run_id).is_finished, f"run {run_id} ends")
        return self.run(run_id).status

    def parents(self) -> list[psutil.Process]:
        """The warm parents of this home."""
        return without_children([each for each in self._processes() if each.name() == "mf-warm-parent"])

    def workers(self) -> list[psutil.Process]:
        """The run workers of this home."""
        return [each for each in self._processes() if each.name() == "mf-run-worker"]

    def parent(self) -> psutil.Process:
        """The one warm parent of this home."""
        [parent] = self.parents()
        return parent

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds, or fail with what was waited for and the logs."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if holds():
                return
            time.sleep(0.05)
        logs = [*self.home.glob("warm_parent/*.log"), *self.home.glob("worker_logs/*.log")]
        raise AssertionError(f"waited in vain until {what}\n" + "\n".join(log.read_text()[-2_000:] for log in logs))

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if str(self.home) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def close(self) -> None:
        """Kill all that was started, the parent first: it would report the others."""
        for process in [*self.parents(), *self._processes()]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.instance.dispose()


@contextmanager
def launching(home: Path, postgres_url: str | None = None) -> Iterator[Launching]:
    """An instance that leaves no process behind."""
    launching = Launching(home, postgres_url)
    try:
        yield launching
    finally:
        launching.close()

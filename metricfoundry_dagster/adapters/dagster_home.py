"""DAGSTER_HOME of the embedded instance: a folder below our home, with `dagster.yaml` and Dagster's SQLite files."""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

import metricfoundry_dagster
from metricfoundry_dagster.domain.errors import WorldError

_PACKAGE = Path(metricfoundry_dagster.__file__).parent


def prepare_dagster_home(home: Path, max_concurrent_runs: int) -> Path:
    """Make `<home>/dagster`, put `dagster.yaml` into it whole and at once, make the storage, and give the folder.

    The file is the one at the top of the project, with the number of runs that the settings say. Several processes
    may call this at once.

    Raises:
        WorldError: `dagster.unreachable` when the storage cannot be made.
    """
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    document = yaml.safe_load(deployment_file("dagster.yaml").read_text())
    document["run_queue"]["max_concurrent_runs"] = max_concurrent_runs
    # Several commands may come here at once, and Dagster may be reading.
    descriptor, unfinished = tempfile.mkstemp(dir=folder, prefix=".dagster.yaml.")
    with os.fdopen(descriptor, "w") as stream:
        yaml.safe_dump(document, stream, sort_keys=False)
    Path(unfinished).replace(folder / "dagster.yaml")
    _make_storage_once(folder)
    return folder


def deployment_file(name: str) -> Path:
    """Where `dagster.yaml` or `workspace.yaml` is: in the package when installed, at the top of a checkout."""
    packaged = _PACKAGE / "deployment" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name


def _make_storage_once(folder: Path) -> None:
    """Let Dagster make its SQLite files alone: two processes that make them at once spoil them.

    Seen in 1.13.27: both insert the first revision, and every later start fails with "multiple heads".
    """
    made = folder / ".storage_made"
    if made.exists():
        return
    with (folder / ".storage_lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return
        done = subprocess.run(
            [sys.executable, "-m", "dagster", "instance", "migrate"],
            env={**os.environ, "DAGSTER_HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise WorldError("dagster.unreachable", f"Dagster's storage in {folder} cannot be made: {done.stderr[-500:]}")
        made.touch()

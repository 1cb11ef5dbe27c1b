"""DAGSTER_HOME of the embedded instance: a folder below our home, with the instance's `dagster.yaml` in it."""

import os
import tempfile
from pathlib import Path

import yaml

import metricfoundry_dagster

_PACKAGE = Path(metricfoundry_dagster.__file__).parent


def prepare_dagster_home(home: Path, max_concurrent_runs: int) -> Path:
    """Make `<home>/dagster`, put `dagster.yaml` into it whole and at once, and give the folder.

    The file is the one at the top of the project, with the number of runs that the settings say.
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
    return folder


def deployment_file(name: str) -> Path:
    """Where `dagster.yaml` or `workspace.yaml` is: in the package when installed, at the top of a checkout."""
    packaged = _PACKAGE / "deployment" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name

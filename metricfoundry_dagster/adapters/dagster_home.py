"""DAGSTER_HOME: a folder below our home with the `dagster.yaml` that fits the settings, and its storage made.

How the storage itself is addressed and made is in `dagster_storage.py`.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml
from sqlalchemy import URL

import metricfoundry_dagster
from metricfoundry_dagster.adapters.dagster_storage import ADDRESS_VARIABLE, bring_up_to_date

_PACKAGE = Path(metricfoundry_dagster.__file__).parent
_EMBEDDED = "dagster.yaml"
_ON_SERVERS = "deploy/dagster.yaml"


@dataclass(frozen=True, slots=True)
class DagsterHome:
    """The Dagster instance of one home directory. `storage` is its PostgreSQL, None for SQLite files in the folder."""

    home: Path
    storage: URL | None
    max_concurrent_runs: int
    max_run_seconds: int

    @property
    def folder(self) -> Path:
        """What Dagster calls DAGSTER_HOME."""
        return self.home / "dagster"

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment, beside its own, to be of this instance. May hold a password."""
        variables = {"DAGSTER_HOME": str(self.folder), "METRICFOUNDRY_HOME": str(self.home)}
        if self.storage is not None:
            variables[ADDRESS_VARIABLE] = self.storage.render_as_string(hide_password=False)
        return variables

    def prepare(self) -> None:
        """Make the folder, put `dagster.yaml` into it whole and at once, and bring the storage up to date.

        The file is the one at the top of the project, or the one in `deploy/` for PostgreSQL, with the number of runs
        and their longest time that the settings say. Several processes may call this at once.

        Raises:
            WorldError: `dagster.unreachable` when the storage cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        document = yaml.safe_load(deployment_file(_EMBEDDED if self.storage is None else _ON_SERVERS).read_text())
        document["run_queue"]["max_concurrent_runs"] = self.max_concurrent_runs
        document["run_monitoring"]["max_runtime_seconds"] = self.max_run_seconds
        # Several commands may come here at once, and Dagster may be reading.
        descriptor, unfinished = tempfile.mkstemp(dir=self.folder, prefix=".dagster.yaml.")
        with os.fdopen(descriptor, "w") as stream:
            yaml.safe_dump(document, stream, sort_keys=False)
        Path(unfinished).replace(self.folder / "dagster.yaml")
        bring_up_to_date(self.storage, self.folder, self.environment())


def deployment_file(name: str) -> Path:
    """Where `dagster.yaml` or `deploy/dagster.yaml` is: in the package, or at the top of a checkout."""
    packaged = _PACKAGE / "deployment" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name

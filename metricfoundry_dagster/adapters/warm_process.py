"""Whether the warm parent of a DAGSTER_HOME is there, seen from outside: by the command line that every one of them has."""

from pathlib import Path

import psutil

_MODULE = "metricfoundry_dagster.orchestration.warm_parent"


def is_warm(dagster_home: Path) -> bool:
    """Whether a process of this machine is the parent from which runs of this DAGSTER_HOME are forked."""
    lines = (process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"]))
    return any(_MODULE in line and str(dagster_home) in line for line in lines)

"""The output of run workers: where each writes, and how long it is kept. There is a file for every run."""

import time
from contextlib import suppress
from pathlib import Path

_FOLDER = "worker_logs"
_SECONDS_OF_DAY = 86_400


def worker_log(home: Path, run_id: str) -> Path:
    """Where the output of the worker of this run goes. `home` is DAGSTER_HOME."""
    return home / _FOLDER / f"{run_id}.log"


def sweep_worker_logs(home: Path, keep_days: int) -> int:
    """Remove those into which nothing was written for so many days; how many those were.

    There may be no folder yet. A file that cannot be removed stays.
    """
    oldest_s = time.time() - keep_days * _SECONDS_OF_DAY
    removed = 0
    for path in (home / _FOLDER).glob("*.log"):
        with suppress(OSError):
            if path.stat().st_mtime < oldest_s:
                path.unlink()
                removed += 1
    return removed

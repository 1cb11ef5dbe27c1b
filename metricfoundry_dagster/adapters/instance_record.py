"""Which web server is ours: read from `<home>/up.json`, where a running `up` notes itself.

Any Dagster may listen on a port, and the record of a killed `up` stays behind; so only a process that lives counts.
"""

import json
from pathlib import Path

import psutil

_SAME_START_SECONDS = 1


def url_of_instance(home: Path) -> str | None:
    """The address of the `up` that runs on this home now; None when none does, or its record cannot be read."""
    try:
        record = json.loads((home / "up.json").read_text())
        process = psutil.Process(int(record["pid"]))
        is_same = abs(process.create_time() - float(record["started"])) < _SAME_START_SECONDS
        is_living = process.status() != psutil.STATUS_ZOMBIE
        return str(record["url"]) if is_same and is_living else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None

"""Which web server is ours: read from `<home>/up.json`, where a running `up` notes itself.

Any Dagster may listen on a port, and the record of a killed `up` stays behind; so only a process that lives counts.
"""

import json
from pathlib import Path

from metricfoundry_dagster.adapters.process_start import start_of


def url_of_instance(home: Path) -> str | None:
    """The address of the `up` that runs on this home now; None when none does, or its record cannot be read."""
    try:
        record = json.loads((home / "up.json").read_text())
        is_living = start_of(int(record["pid"])) == str(record["started"])
        return str(record["url"]) if is_living else None
    except (OSError, ValueError, KeyError, TypeError):
        return None

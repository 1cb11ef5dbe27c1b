"""Run workers as processes: the tags that name one, and how it is found again by them.

Put here what holds for a worker however it was started. Starting one belongs to the launcher.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

import psutil

from metricfoundry_dagster.orchestration.tags import WORKER_HOST, WORKER_PID, WORKER_STARTED
from metricfoundry_dagster.wiring import start_of


def worker_tags() -> dict[str, str]:
    """The tags by which the present process can be found again as a run's worker."""
    return {
        WORKER_HOST: socket.gethostname(),
        WORKER_PID: str(os.getpid()),
        WORKER_STARTED: str(start_of(os.getpid())),
    }


def is_elsewhere(tags: Mapping[str, str]) -> bool:
    """Whether these tags name a process of another host, of which nobody here can know anything."""
    return tags.get(WORKER_HOST, socket.gethostname()) != socket.gethostname()


def worker_process(tags: Mapping[str, str]) -> psutil.Process | None:
    """The living process of this host that these tags name; None when it is gone and perhaps another has its id."""
    if WORKER_PID not in tags or is_elsewhere(tags):
        return None
    pid = int(tags[WORKER_PID])
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid) if start_of(pid) == tags[WORKER_STARTED] else None
    return None

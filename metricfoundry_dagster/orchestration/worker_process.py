"""Run workers as processes: the tags that name one, and how it is found again by them.

Put here what holds for a worker however it was started. Starting one belongs to the launcher.
"""

import socket
from collections.abc import Mapping

import psutil

from metricfoundry_dagster.orchestration.tags import WORKER_HOST, WORKER_PID, WORKER_STARTED

#: Clocks of the process table are coarse; two processes with one id start further apart than this.
_SAME_START_SECONDS = 0.05


def worker_tags() -> dict[str, str]:
    """The tags by which the present process can be found again as a run's worker."""
    process = psutil.Process()
    return {
        WORKER_HOST: socket.gethostname(),
        WORKER_PID: str(process.pid),
        WORKER_STARTED: f"{process.create_time():.2f}",
    }


def is_elsewhere(tags: Mapping[str, str]) -> bool:
    """Whether these tags name a process of another host, of which nobody here can know anything."""
    return tags.get(WORKER_HOST, socket.gethostname()) != socket.gethostname()


def worker_process(tags: Mapping[str, str]) -> psutil.Process | None:
    """The living process of this host that these tags name; None when it is gone and perhaps another has its id."""
    if WORKER_PID not in tags or is_elsewhere(tags):
        return None
    try:
        process = psutil.Process(int(tags[WORKER_PID]))
        same = abs(process.create_time() - float(tags[WORKER_STARTED])) < _SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None

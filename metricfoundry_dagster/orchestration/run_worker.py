"""A run worker: the process that carries one run, forked from the warm parent.

It names itself in the run's tags before anything else, so that it can be asked after, and then does what
`dagster api execute_run` does. Here is also what is said of a run whose worker died.
"""

import fcntl
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from dagster._cli.api import _execute_run_command_body
from dagster._utils.interrupts import capture_interrupts

from metricfoundry_dagster.orchestration.worker_logs import worker_log
from metricfoundry_dagster.orchestration.worker_process import worker_tags

_CANCEL_POLL_SECONDS = 5.0
_GIVEN_UP = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE}


def carry(run_id: str, home: Path, instance: dg.DagsterInstance) -> None:
    """Carry the run to its end in this process, which must be a child of the warm parent. The instance is closed in the end.

    Without effect when another process carries the run already: a launcher that got no reply asks again.
    """
    if not _take_log(worker_log(home, run_id)):
        return
    _start_afresh()
    with capture_interrupts(), instance:
        instance.add_run_tags(run_id, worker_tags())
        with _interrupted_when_canceled(instance, run_id):
            _execute_run_command_body(run_id, instance, lambda _event: None, set_exit_code_on_failure=False)


def report_death(run_id: str, cause: str, instance: dg.DagsterInstance) -> None:
    """Say in Dagster that the run's worker is gone, unless the run had ended before. The instance is closed in the end."""
    with instance:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        message = f"The run's worker {cause}."
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message=message)
        else:
            instance.report_run_failed(run, message=message)


def _take_log(path: Path) -> bool:
    """Write standard output and error there from now on; False when another process does. Locked as long as we live."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    return True


def _start_afresh() -> None:
    """Forget what a forked process shares with its siblings and must not: the state of random numbers."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


@contextmanager
def _interrupted_when_canceled(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Interrupt the block when the run is canceled or failed from outside, be it from another host.

    A launcher on this host sends its signal itself; this is for everybody else. A worker that does not end within the
    instance's cancel timeout after that kills itself and what it started.
    """
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(instance, run_id, ended), name="cancellation", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(_CANCEL_POLL_SECONDS)


def _watch(instance: dg.DagsterInstance, run_id: str, ended: threading.Event) -> None:
    while not ended.wait(_CANCEL_POLL_SECONDS):
        # A database that is away for a moment is the run's trouble, not the watcher's.
        with suppress(Exception):
            run = instance.get_run_by_id(run_id)
            if run is None or run.status in _GIVEN_UP:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                if not ended.wait(instance.run_monitoring_cancel_timeout_seconds):
                    os.killpg(0, signal.SIGKILL)
                return

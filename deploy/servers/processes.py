"""Starts a server's process, finds it again from another process, and ends it within a bound."""

import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from metricfoundry_dagster.adapters.process_start import start_of

#: What servers see of our environment: nothing that could configure them behind our back.
_HANDED_ON = ("PATH", "HOME", "LANG", "TMPDIR")
_KILL_SECONDS = 15.0
_POLL_SECONDS = 0.02
#: A log that is longer when its server starts is begun anew.
_MAX_LOG_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started. `account` is whom to run it as, None for ourselves."""

    command: tuple[str | Path, ...]
    folder: Path
    environment: dict[str, str]
    account: pwd.struct_passwd | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """A process as it is noted: a number may be given to another one later."""

    pid: int
    started: str | None

    def find(self) -> psutil.Process | None:
        """The process while it lives; one that ended and was not waited for is none."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid) if self.started is not None and start_of(self.pid) == self.started else None
        return None


def identify(pid: int) -> Identity:
    """What to note about a process that lives."""
    return Identity(pid, start_of(pid))


def spawn(launch: Launch, log_path: Path) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, which Ctrl-C in our terminal does not reach."""
    own = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    account = launch.account
    is_long = log_path.exists() and log_path.stat().st_size > _MAX_LOG_BYTES
    with log_path.open("wb" if is_long else "ab") as log:
        return subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=launch.folder,
            env=own | launch.environment,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def end(process: psutil.Process, how: signal.Signals, *, bound_seconds: float) -> bool:
    """Ask a process to end, kill it after the bound, and see its children go as well; whether it went by itself."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        family = process.children(recursive=True)
        process.send_signal(how)
    went_by_itself = not _left([process], bound_seconds)
    for survivor in _left([process, *family], 0 if not went_by_itself else _KILL_SECONDS):
        with suppress(psutil.NoSuchProcess):
            survivor.kill()
    _left([process, *family], _KILL_SECONDS)
    return went_by_itself


def _left(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still live after so many seconds. A zombie lives no more, even where nobody fetches its exit code."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return alive


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False

"""Who runs a stack: a process that owns it as long as it lives, or nobody.

Put here what concerns several processes: the hold on the directory, the watch over the owner, and stopping the stack of
another process.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from deploy.servers.errors import ServersError, StackInUseError
from deploy.servers.locations import ROOT
from deploy.servers.processes import identify
from deploy.servers.stack import Stack

#: Within this time the owner has stopped every server, or killed it.
_OWNER_STOPS_SECONDS = 180.0


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a directory for this process, so that no other one starts or stops servers in it meanwhile.

    Raises:
        StackInUseError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        _lock(lock, folder)
        yield


@contextmanager
def owned_stack(
    folder: Path, *, is_durable: bool = True, is_temporary: bool = False, class_archives: Path | None = None
) -> Iterator[Stack]:
    """A stack that lives no longer than the block, nor than this process, however it ends. Nothing is started yet.

    Args:
        folder: Its directory.
        is_durable: As for `Stack`.
        is_temporary: Whether the directory is removed in the end.
        class_archives: As for `Stack`.
    """
    with held(folder):
        stack = Stack(folder, is_durable=is_durable, class_archives=class_archives)
        stack.owner = identify(os.getpid())
        watch = _watch(folder, is_temporary=is_temporary)
        try:
            yield stack
        finally:
            try:
                stack.down()
                stack.owner = None
                if is_temporary:
                    shutil.rmtree(folder)
            finally:
                watch.communicate()


@contextmanager
def temporary_stack(*, class_archives: Path | None = None) -> Iterator[Stack]:
    """A stack for tests: in a directory of its own that is gone afterwards, and without waiting for the disk."""
    # Not below a directory of pytest's, which PostgreSQL cannot enter where it has to run as somebody else.
    folder = Path(tempfile.mkdtemp(prefix="metricfoundry-servers-"))
    with owned_stack(folder, is_durable=False, is_temporary=True, class_archives=class_archives) as stack:
        yield stack


def stop_stack(folder: Path) -> None:
    """Stop the stack of a directory, whoever started it; without effect when nothing runs.

    Raises:
        ServersError: Its owner was told to stop and does not.
    """
    if not (folder / "stack.json").exists():
        return
    owner = Stack(folder).owner
    if owner and (process := owner.find()):
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _OWNER_STOPS_SECONDS
        while owner.find():
            if time.monotonic() > deadline:
                raise ServersError(f"process {owner.pid}, which runs the servers of {folder}, was told to stop and does not")
            time.sleep(0.1)
    with held(folder):
        Stack(folder).down()


def _lock(lock: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StackInUseError(f"the servers of {folder} are run by another process; stop that first") from None


def _watch(folder: Path, *, is_temporary: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.servers.watch_owner", folder, *(["--temporary"] if is_temporary else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )

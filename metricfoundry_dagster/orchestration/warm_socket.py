"""The Unix socket between the launchers of one DAGSTER_HOME and its warm parent: where it lies, who may speak, what is said.

Needs nothing but the standard library, so that the parent answers its socket before it has imported anything heavy.
"""

import fcntl
import hashlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FOLDER = "warm_parent"
#: A request holds ids and one code pointer.
_MAX_MESSAGE_BYTES = 64 * 1024
#: As many launches as may wait while the parent imports the code.
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Request:
    """What a launcher asks for: a worker for this run.

    `job_origin` is where the run's job comes from, as Dagster serializes it. `server_id` names the code server that the
    launcher sees, which changes when the code location is reloaded; None when it cannot be told.
    """

    run_id: str
    job_origin: str
    server_id: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the parent did: `pid` is the worker's; 0 with a `refusal`, or when the parent reloads and is to be asked again."""

    pid: int = 0
    refusal: str = ""


class ForeignPeerError(Exception):
    """The process at the other end belongs to another user."""


def parent_folder(home: Path) -> Path:
    """The folder of the socket, the lock and the log of a home's parent; made when missing, and ours alone.

    Raises:
        PermissionError: it exists and belongs to another user.
    """
    folder = home / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    folder.chmod(0o700)
    return folder


def log_path(home: Path) -> Path:
    """Where the parent of this host writes what it has to say."""
    return parent_folder(home) / f"{_host()}.log"


def lock_parent(home: Path) -> int | None:
    """Become the one parent of a home on this host, as long as the descriptor that is given stays open; None when one lives."""
    descriptor = os.open(parent_folder(home) / f"{_host()}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def listen(home: Path) -> socket.socket:
    """Answer the socket from now on. Only for the holder of the lock: what lies there was left behind by a dead parent."""
    (parent_folder(home) / f"{_host()}.sock").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _address(home) as address:
        listener.bind(address)
    listener.listen(_BACKLOG)
    return listener


@contextmanager
def connected(home: Path, timeout_seconds: float) -> Iterator[socket.socket]:
    """A connection to the parent of this home and host.

    Raises:
        OSError: none answers.
        ForeignPeerError: another user's process answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(timeout_seconds)
        with _address(home) as address:
            connection.connect(address)
        require_own_user(connection)
        yield connection


def require_own_user(connection: socket.socket) -> None:
    """Refuse to speak with anybody else's process, whatever the rights on the folder are.

    Raises:
        ForeignPeerError: it is one.
    """
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if user != os.geteuid():
        raise ForeignPeerError(f"user {user} is at the other end")


def send(connection: socket.socket, message: Request | Reply) -> None:
    """Send one message."""
    connection.sendall(json.dumps(asdict(message)).encode())


def receive_request(connection: socket.socket) -> Request:
    """The request of a launcher.

    Raises:
        OSError: it went away, or says nothing in time.
        ValueError: it is none.
    """
    try:
        return Request(**_receive(connection))
    except TypeError as error:
        raise ValueError(str(error)) from None


def receive_reply(connection: socket.socket) -> Reply:
    """The parent's reply. Raises OSError when it went away."""
    return Reply(**_receive(connection))


def _receive(connection: socket.socket) -> dict[str, Any]:
    message = connection.recv(_MAX_MESSAGE_BYTES)
    if not message:
        raise ConnectionResetError("the other end went away")
    document = json.loads(message)
    if not isinstance(document, dict):
        raise ValueError("a message is an object")  # noqa: TRY004 - it is the content that is wrong
    return document


@contextmanager
def _address(home: Path) -> Iterator[str]:
    """The socket's path through a descriptor of its folder: a path of its own may be too long for 107 bytes."""
    descriptor = os.open(parent_folder(home), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_host()}.sock"
    finally:
        os.close(descriptor)


def _host() -> str:
    """Containers that share a home do not share a parent: a process of one cannot be found from another."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]

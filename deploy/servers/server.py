"""What a server is to the stack: ports, how it is started, when it is healthy, how it is stopped.

One file beside this for each product (`run_postgresql.py`, `run_minio.py`, `run_druid.py`) describes its servers with it.
"""

import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from deploy.servers.processes import Launch

#: Everything listens here and nowhere else.
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server runs: the stack's directory, and ports and passwords by their names.

    Attributes:
        folder: The directory of the whole stack; each product has a folder of its own name in it.
        is_durable: Whether data must survive a crash of the machine; that of a kill it survives anyway.
        class_archives: Where Java writes, at its end, the classes that it loaded; None when it is to write nothing.
    """

    folder: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    is_durable: bool
    class_archives: Path | None = None

    def make_folder(self, name: str) -> Path:
        """A folder below the directory that nobody else can look into."""
        path = self.folder / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


def _nothing(_site: Site) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server.

    Attributes:
        ports: Names of its ports; the first one is that of its name.
        needs: Servers that must be healthy before it is started.
        prepare: Makes on disk what the process wants to find, builds or finds its program, and says how to start it.
        is_healthy: Whether it does its work; asked again and again while it starts, and never raises.
        complete: What is done once it is healthy, such as making buckets; every time, so it must be repeatable.
        start_seconds: How long it may take to become healthy.
        stop_signals: How it is asked to end, by mode.
        stop_seconds: How long that may take until it is killed.
    """

    name: str
    ports: tuple[str, ...]
    needs: tuple[str, ...] = ()
    prepare: Callable[[Site], Launch]
    is_healthy: Callable[[Site], bool]
    complete: Callable[[Site], None] = _nothing
    start_seconds: float = 60.0
    stop_signals: Mapping[str, signal.Signals]
    stop_seconds: float = 15.0


def answers(site: Site, port_name: str, path: str) -> bool:
    """Whether an HTTP server of the stack answers a GET with success."""
    return ask(site, port_name, path) is not None


def ask(site: Site, port_name: str, path: str) -> str | None:
    """The answer of an HTTP server to a GET, None when it gives none or an error."""
    with requests.Session() as session, suppress(requests.RequestException):
        session.trust_env = False  # a proxy of this machine knows nothing of the loopback interface
        reply = session.get(f"http://{HOST}:{site.ports[port_name]}{path}", timeout=5)
        return reply.text if reply.ok else None
    return None

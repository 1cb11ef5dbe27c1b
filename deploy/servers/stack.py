"""A stack: PostgreSQL, MinIO and Druid in one directory, started and stopped in the right order, one or all of them.

The directory can be started again: data, ports and passwords are kept. A server that was killed is started again alone,
at its old address. Who runs the stack (a terminal, a test, nobody) is decided in `run_stack.py`.
"""

import logging
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from deploy.servers.choose_ports import choose_port, is_free
from deploy.servers.errors import ServerFailedError, ServersError
from deploy.servers.processes import Identity, end, identify, spawn
from deploy.servers.record import read_record, write_record
from deploy.servers.run_druid import BROKER, COORDINATOR, HISTORICAL, INDEXER, ZOOKEEPER
from deploy.servers.run_minio import MINIO
from deploy.servers.run_postgresql import POSTGRESQL
from deploy.servers.server import Server, Site

#: Every server, in the order of starting. Stopping goes the other way: Druid's processes hang when ZooKeeper goes first.
SERVERS = {
    server.name: server for server in (POSTGRESQL, MINIO, ZOOKEEPER, COORDINATOR, HISTORICAL, BROKER, INDEXER)
}  # fmt: skip
#: The servers that make up each product.
PRODUCTS = {
    "postgresql": ("postgresql",),
    "minio": ("minio",),
    "druid": ("zookeeper", "coordinator", "historical", "broker", "indexer"),
}
_POLL_SECONDS = 0.1
_LOG_TAIL_CHARS = 3_000
_log = logging.getLogger(__name__)


def server_names(words: Iterable[str]) -> tuple[str, ...]:
    """The servers that are meant by names of servers and of products, with all that they need, in the order of starting.

    Raises:
        ServersError: A word is neither.
    """
    wanted: set[str] = set()
    queue = list(words)
    while queue:
        word = queue.pop()
        if word not in SERVERS and word not in PRODUCTS:
            raise ServersError(f"there is no server {word!r}, only {', '.join([*SERVERS, 'druid'])}")
        names = PRODUCTS.get(word, (word,))
        new = set(names) - wanted
        wanted |= new
        queue += [need for name in new for need in SERVERS[name].needs]
    return tuple(name for name in SERVERS if name in wanted)


class Stack:
    """The servers of one directory, which is made if need be; nothing is started by making this object.

    Not for several threads. Several processes may look at it, but only one at a time may start and stop servers:
    `run_stack.py` holds the directory for that one.
    """

    def __init__(self, folder: Path, *, is_durable: bool = True, class_archives: Path | None = None) -> None:
        """Take up a directory with what was noted in it.

        Args:
            folder: The directory.
            is_durable: False when no data has to outlive a crash of the machine, which is faster; a kill loses none anyway.
            class_archives: As in `Site`.
        """
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        # PostgreSQL may run as somebody else, who has to pass through; what lies in it has a mode of its own.
        self.folder.chmod(0o711)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._record = read_record(self.folder)
        self.site = Site(self.folder, self._record.ports, self._record.secrets, is_durable, class_archives)
        # Looking at a stack that another process runs must not write over what that one notes.
        if self._record.complete(tuple(port for server in SERVERS.values() for port in server.ports)):
            self._save()

    @property
    def owner(self) -> Identity | None:
        """The process in whose foreground the stack runs, as noted; None for a stack that was detached."""
        return self._record.owner

    @owner.setter
    def owner(self, owner: Identity | None) -> None:
        self._record.owner = owner
        self._save()

    def up(self, names: Iterable[str] = tuple(SERVERS)) -> None:
        """Start servers or products with all that they need, and wait until they are healthy. What runs is left alone.

        Raises:
            ServerUnavailableError: Something is missing on this machine; nothing more was started.
            ServerFailedError: A server did not become healthy.
        """
        if not any(self.pid(name) for name in SERVERS):
            self._move_from_taken_ports()
        waiting = [name for name in server_names(names) if self.pid(name) is None]
        while waiting:
            wave = [name for name in waiting if not set(waiting) & set(SERVERS[name].needs)]
            waiting = [name for name in waiting if name not in wave]
            self._start_together(wave)

    def start(self, name: str) -> None:
        """Start one server, such as one that was killed, and wait until it is healthy. Raises as `up` does."""
        if self.pid(name) is None:
            self._start_together([name])

    def stop(self, name: str, *, mode: str = "fast", bound_seconds: float | None = None) -> bool:
        """Stop one server; whether it went by itself in its time, which a server that did not run did.

        Args:
            name: The server.
            mode: `fast`, or for PostgreSQL `immediate`: without a checkpoint, as after a crash.
            bound_seconds: How long it may take until it is killed; None for as long as the server usually may.
        """
        server = SERVERS[name]
        process = self._find(name)
        bound = server.stop_seconds if bound_seconds is None else bound_seconds
        went = process is None or end(process, server.stop_signals[mode], bound_seconds=bound)
        self._forget(name)
        return went

    def kill(self, name: str) -> None:
        """Kill one server without a warning, and see it gone."""
        if process := self._find(name):
            end(process, signal.SIGKILL, bound_seconds=SERVERS[name].stop_seconds)
        self._forget(name)

    def down(self) -> None:
        """Stop every server that runs, in the right order."""
        for name in reversed(SERVERS):
            if not self.stop(name):
                _log.warning("%s had to be killed", name)

    def pid(self, name: str) -> int | None:
        """The process of a server; None when it does not run."""
        process = self._find(name)
        return process.pid if process else None

    def is_healthy(self, name: str) -> bool:
        """Whether a server runs and does its work."""
        return self.pid(name) is not None and SERVERS[name].is_healthy(self.site)

    def log_path(self, name: str) -> Path:
        """Where a server writes what it has to say."""
        return self.site.make_folder("logs") / f"{name}.log"

    # ---- how one is started

    def _start_together(self, names: Iterable[str]) -> None:
        launches = {name: SERVERS[name].prepare(self.site) for name in names}
        for name, launch in launches.items():
            self._forget(name)
            self._children[name] = child = spawn(launch, self.log_path(name))
            self._record.processes[name] = identify(child.pid)
            self._save()
        self._wait_until_healthy({name: time.monotonic() + SERVERS[name].start_seconds for name in launches})

    def _wait_until_healthy(self, deadlines: dict[str, float]) -> None:
        while deadlines:
            for name in list(deadlines):
                if SERVERS[name].is_healthy(self.site):
                    SERVERS[name].complete(self.site)
                    del deadlines[name]
                else:
                    self._require_progress(SERVERS[name], deadlines[name])
            time.sleep(_POLL_SECONDS if deadlines else 0)

    def _move_from_taken_ports(self) -> None:
        """Somebody else may have come to listen where a server was to be."""
        for name, port in self._record.ports.items():
            if not is_free(port):
                self._record.ports[name] = choose_port(self._record.ports.values())
        self._save()

    def _require_progress(self, server: Server, deadline: float) -> None:
        if self._children[server.name].poll() is not None:
            raise ServerFailedError(f"{server.name} ended while it started; its log ends with:\n{self._log_tail(server.name)}")
        if time.monotonic() > deadline:
            message = f"{server.name} did not become healthy in {server.start_seconds:.0f} seconds; its log ends with:\n"
            raise ServerFailedError(message + self._log_tail(server.name))

    def _log_tail(self, name: str) -> str:
        return self.log_path(name).read_text(errors="replace")[-_LOG_TAIL_CHARS:]

    # ---- what is remembered

    def _find(self, name: str) -> psutil.Process | None:
        identity = self._record.processes.get(name)
        return identity.find() if identity else None

    def _forget(self, name: str) -> None:
        if child := self._children.pop(name, None):
            child.wait()
        if self._record.processes.pop(name, None):
            self._save()

    def _save(self) -> None:
        write_record(self.folder, self._record)

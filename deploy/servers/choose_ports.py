"""Chooses free ports on the loopback interface, such that a server which was killed finds its port again.

They lie below those that the system gives to outgoing connections: any client could hold one of these just when the
server wants it back.
"""

import random
import socket
from collections.abc import Collection
from pathlib import Path

_LOWEST = 15_000
#: Where outgoing connections begin on Linux unless it is told otherwise.
_USUAL_OUTGOING = 32_768
_TRIES = 1_000


def choose_port(taken: Collection[int]) -> int:
    """A free port that is none of `taken`."""
    highest = _first_outgoing_port() - 1
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, highest)  # noqa: S311 - spreads stacks that start together, guards nothing
        if port not in taken and is_free(port):
            return port
    raise RuntimeError(f"no free port among {_LOWEST} to {highest}")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _first_outgoing_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = _USUAL_OUTGOING
    return first if first > _LOWEST + _TRIES else 65_536

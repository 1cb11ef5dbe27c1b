"""Who is killed, by kill -9, and what brings each back. When and how often is decided in `storm.py`."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import psutil

from deploy.servers.stack import Stack
from metricfoundry_dagster_tests.running_instance import RunningInstance


@dataclass(frozen=True, slots=True)
class Victim:
    """One thing that may die. `strike` kills it and says whether there was anything to kill.

    `revive` starts it again; None where somebody else does that, as `up` does for its parts.
    """

    name: str
    strike: Callable[[], bool]
    revive: Callable[[], None] | None = None


def victims_of(instance: RunningInstance, rng: Random) -> list[Victim]:
    """What may die of an instance: a run worker, the warm parent, the daemon, a code server, the web server, and all at once."""
    return [
        Victim("worker", lambda: _kill_one(instance.workers(), rng)),
        Victim("warm parent", lambda: _kill_one(instance.warm_parents(), rng)),
        Victim("daemon", lambda: _kill_one(_roots(instance.daemons()), rng)),
        Victim("code server", lambda: _kill_one(_that_run(instance, "grpc", "code-server"), rng)),
        Victim("web server", lambda: _kill_one(_that_run(instance, "dagster_webserver"), rng)),
        Victim("everything", lambda: _kill_everything(instance), instance.start),
    ]


def servers_of(stack: Stack, names: Iterable[str]) -> list[Victim]:
    """What may die of a stack. PostgreSQL is stopped as after a crash (`-m immediate`): no backend outlives it."""
    return [_server(stack, name) for name in names]


def _server(stack: Stack, name: str) -> Victim:
    def strike() -> bool:
        if name == "postgresql":
            stack.stop(name, mode="immediate")
        else:
            stack.kill(name)
        return True

    return Victim(name, strike, lambda: stack.start(name))


def _kill_one(found: list[psutil.Process], rng: Random) -> bool:
    if not found:
        return False
    with suppress(psutil.NoSuchProcess):
        rng.choice(found).kill()
        return True
    return False


def _kill_everything(instance: RunningInstance) -> bool:
    """As in a power cut: `up` first, so that it starts nothing again."""
    instance.kill()
    for process in instance.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    instance.wait_until(lambda: not instance.processes(), "all are gone")
    return True


def _that_run(instance: RunningInstance, *words: str) -> list[psutil.Process]:
    found = []
    for process in instance.processes():
        with suppress(psutil.NoSuchProcess):
            if any(word in argument for argument in process.cmdline() for word in words):
                found.append(process)
    return found


def _roots(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those whose parent is none of them."""
    pids = {process.pid for process in processes}
    return [process for process in processes if process.ppid() not in pids]

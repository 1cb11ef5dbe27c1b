"""Meters: CPU and wall seconds of this process, of a running instance, and of the servers behind it; memory of processes."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from metricfoundry_dagster_tests.running_instance import RunningInstance


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work took."""

    cpu_s: float
    wall_s: float


class Stopwatch:
    """CPU and wall seconds of a block, in this process and its threads."""

    def __enter__(self) -> Callable[[], Cost]:
        """Begin; what it gives tells the cost once the block is left."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        self._cost = Cost(0.0, 0.0)
        return lambda: self._cost

    def __exit__(self, *exc_info: object) -> None:
        """End."""
        self._cost = Cost(time.process_time() - self._cpu, time.perf_counter() - self._wall)


def spent_s(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds of processes so far, those of their ended children included."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class InstanceMeter:
    """CPU seconds of an instance since the meter was made: of its runs alone, and of everything.

    A run is a child of the warm parent, which counts it as it ends: read the meter when no run is under way.
    """

    def __init__(self, instance: RunningInstance) -> None:
        self._instance = instance
        self._runs_s, self._all_s = self._read()

    def runs_s(self) -> float:
        """Of the runs' workers."""
        return self._read()[0] - self._runs_s

    def all_s(self) -> float:
        """Of the runs, the daemon, the code servers, the web server."""
        return self._read()[1] - self._all_s

    def _read(self) -> tuple[float, float]:
        parents = {process.pid for process in self._instance.warm_parents()}
        processes = self._instance.processes()
        return spent_s(process for process in processes if process.pid in parents), spent_s(processes)


def memory_mb(processes: Iterable[psutil.Process]) -> float:
    """What processes take together, each page that several share counted once between them (PSS), in MB."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 1e6

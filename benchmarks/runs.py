"""What a run costs beside its stages: `make bench-runs`.

The same dataset three ways, alternating, for a file of 10 KB and one of 100 MB:

    floor      `take_through` called in a process that has imported everything
    in-process `dataset_job` by `execute_in_process` on a SQLite instance, in such a process
    dropped    copied into the drop zone of a running `metricfoundry up`, until it is served; wall time counts from
               the copy, CPU is the worker's and whatever the daemon and the web server spent meanwhile

Prints seconds of CPU and of wall time for each, as ratios to the floor. `SIZE=small` takes 1 MB for 100 MB.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import dagster as dg
import psutil

from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.ports.runs import JOB_ID_TAG
from metricfoundry_dagster_tests.embedded import carry, embedded_ports, embedded_settings, register
from metricfoundry_dagster_tests.running_instance import RunningInstance, running_instance

_CASES = {"10kb": 10_000, "100mb": 1_000_000 if os.environ.get("SIZE") == "small" else 100_000_000}
_ROUNDS = {"10kb": 5, "100mb": 2}


@dataclass(frozen=True, slots=True)
class _Cost:
    cpu_s: float
    wall_s: float


def main() -> None:
    """Measure and print every figure."""
    folder = Path(tempfile.mkdtemp(prefix="bench-runs-"))
    try:
        with running_instance(folder / "dropped") as instance:
            for case, size_bytes in _CASES.items():
                source = _write_sales(folder / f"{case}.csv", size_bytes)
                _report(case, _measure(case, source, folder, instance))
    finally:
        shutil.rmtree(folder)


def _measure(case: str, source: Path, folder: Path, instance: RunningInstance) -> dict[str, _Cost]:
    costs: dict[str, list[_Cost]] = {"floor": [], "in-process": [], "dropped": []}
    for number in range(_ROUNDS[case] + 1):
        name = f"{case}_{number}"
        ways: dict[str, Callable[[], _Cost]] = {
            "floor": partial(_floor, source, folder / f"floor_{name}"),
            "in-process": partial(_in_process, source, folder / f"in_process_{name}"),
            "dropped": partial(_dropped, source, f"d_{name}", instance),
        }
        for way, run in ways.items():
            cost = run()
            if number > 0:  # the first round warms caches and imports
                costs[way].append(cost)
    return {way: _Cost(median(c.cpu_s for c in each), median(c.wall_s for c in each)) for way, each in costs.items()}


def _floor(source: Path, folder: Path) -> _Cost:
    ports = embedded_ports(folder)
    job = register(ports, source)
    with _Stopwatch() as elapsed:
        products = carry(ports, job)
    _require(products[-1].gate.passed, products[-1].gate)
    return elapsed()


def _in_process(source: Path, folder: Path) -> _Cost:
    ports = embedded_ports(folder)
    job = register(ports, source)
    definitions = build_definitions(settings=embedded_settings(folder), make_ports=lambda: ports)
    dagster_job = definitions.resolve_job_def("dataset_job")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        with _Stopwatch() as elapsed:
            instance.add_dynamic_partitions("datasets", [job.dataset_id])
            result = dagster_job.execute_in_process(
                instance=instance, partition_key=job.dataset_id, tags={JOB_ID_TAG: job.job_id}
            )
        _require(result.success, result)
    return elapsed()


def _dropped(source: Path, datasource: str, instance: RunningInstance) -> _Cost:
    target = instance.incoming / datasource / source.name
    target.parent.mkdir(parents=True)
    meter = _Meter(instance)
    started = time.perf_counter()
    shutil.copyfile(source, target.with_name(f".{source.name}"))
    target.with_name(f".{source.name}").rename(target)
    served_at = None
    while served_at is None or instance.workers():
        meter.read()
        job = instance.newest_job(datasource)
        if served_at is None and job is not None and job.state.ended:
            _require(job.state is JobState.COMPLETED, job.error)
            served_at = time.perf_counter()
        time.sleep(0.02)
    meter.read()
    return _Cost(meter.spent_s(), served_at - started)


class _Meter:
    """CPU seconds of every process of an instance, those that end meanwhile included."""

    def __init__(self, instance: RunningInstance) -> None:
        self._instance = instance
        self._latest: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self.read()
        self._first = dict(self._latest)

    def read(self) -> None:
        for process in self._instance.processes():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            self._latest[process.pid] = times.user + times.system

    def spent_s(self) -> float:
        return sum(spent - self._first.get(pid, 0.0) for pid, spent in self._latest.items())


class _Stopwatch:
    """CPU and wall seconds of a block, in this process and its threads."""

    def __enter__(self) -> Callable[[], _Cost]:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        self._cost = _Cost(0.0, 0.0)
        return lambda: self._cost

    def __exit__(self, *exc_info: object) -> None:
        self._cost = _Cost(time.process_time() - self._cpu, time.perf_counter() - self._wall)


def _require(holds: bool, what: object) -> None:  # noqa: FBT001 - reads like assert, which may be switched off
    if not holds:
        raise RuntimeError(f"the work that is measured failed: {what}")


def _report(case: str, costs: dict[str, _Cost]) -> None:
    floor = costs["floor"]
    for way in ("in-process", "dropped"):
        for unit in ("cpu_s", "wall_s"):
            ours, peers = getattr(costs[way], unit), getattr(floor, unit)
            figure = {"benchmark": "runs", "case": f"{case}-{way}", "peer": "stages-as-function-calls", "unit": unit}
            figure |= {"ours": round(ours, 3), "peers": round(peers, 3), "ratio": round(ours / peers, 2)}
            sys.stdout.write(json.dumps(figure) + "\n")
            sys.stdout.flush()


def _write_sales(path: Path, size_bytes: int) -> Path:
    with path.open("w") as stream:
        written = stream.write("order_id,sold_at,customer,city,product,quantity,unit_price,discount,note\n")
        for line in _lines():
            written += stream.write(line)
            if written >= size_bytes:
                return path
    return path


def _lines() -> Iterator[str]:
    chance = random.Random(20261121)  # noqa: S311 - the same rows every time, no secret
    cities = ["Paris", "Lyon", "Berlin", "Wien", "Genève", "Bern"]
    number = 0
    while True:
        number += 1
        day, second = chance.randrange(1, 29), chance.randrange(86_400)
        yield (
            f"{number},2026-{chance.randrange(1, 13):02}-{day:02} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02},"
            f"c{chance.randrange(50_000)},{chance.choice(cities)},p{chance.randrange(2_000)},{chance.randrange(1, 20)},"
            f'{chance.randrange(100, 99_999) / 100},{chance.choice(["", "0.1", "0.25"])},"said ""ok"", {chance.randrange(9)}"\n'
        )


if __name__ == "__main__":
    main()

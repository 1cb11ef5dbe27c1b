"""What Dagster costs thousands of small files: `make bench-small`.

In each place (embedded: SQLite and local files; postgresql: PostgreSQL and MinIO; both serve by DuckDB; and, said apart,
druid: the same servers with Druid), in one run:

    floor    `take_through` called for one dataset after the other, in one plain process, on the same kind of stores
    batch    1,000 files of 10 KB put into the drop zone of a running instance
    single   files of 10 KB put in one at a time, each carried by a run of its own, forked from the warm process
    100mb    large files, one at a time, each carried by a run of its own; `beside-stages` puts all that a run takes beside
             what its five stages say that they took of it

CPU of a batch or single is that of the processes that carry the runs; the cases that end in `-everything` count what
daemon, code server and web server did as well, and those in `-servers` what PostgreSQL and MinIO did. Latency is from
the registration of an object, which is when it was first listed complete, to the end of its job, which is when its rows
were counted by a query. `SIZE=small` takes 100 files and 5 MB; `PLACES=embedded,postgresql,druid` and
`CASES=batch,single,100mb` choose.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import dagster as dg

from benchmarks._meters import Cost, InstanceMeter, Stopwatch, spent_s
from benchmarks._places import Place, place
from benchmarks._sales_files import sales_files
from deploy.servers.errors import ServersError
from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.layout import INCOMING
from metricfoundry_dagster.domain.products import Root, Stage
from metricfoundry_dagster.orchestration.imported_code import import_code
from metricfoundry_dagster.orchestration.stage_runs import CPU_SECONDS
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_ports
from metricfoundry_dagster_tests.embedded import carry
from metricfoundry_dagster_tests.faults.storm import dagster_of
from metricfoundry_dagster_tests.running_instance import RunningInstance, running_instance

_SMALL = os.environ.get("SIZE") == "small"
_FILES = 100 if _SMALL else 1_000
_SINGLES = 5 if _SMALL else 20
_FILE_BYTES = 10_000
_LARGES = 3
_LARGE_BYTES = 5_000_000 if _SMALL else 100_000_000
_PLACES = os.environ.get("PLACES", "embedded,postgresql,druid").split(",")
_CASES = os.environ.get("CASES", "batch,single,100mb").split(",")
_PATIENCE_SECONDS = 1_800.0


def main() -> None:
    """Measure and print every figure."""
    folder = Path(tempfile.mkdtemp(prefix="bench-small-"))
    try:
        for name in _PLACES:
            try:
                with place(name, folder) as here:
                    _measure(here, folder / name)
            except ServersError as error:
                sys.stderr.write(f"{name} is left out: {error}\n")
    finally:
        shutil.rmtree(folder)


def _measure(here: Place, folder: Path) -> None:
    floor = _Floor(here)
    # One dataset after the other takes Druid some seconds each, so that few must do.
    files = _FILES if "batch" in _CASES and here.name != "druid" else min(_FILES, 5)
    alone, servers_s = floor.take(sales_files(files, _FILE_BYTES))
    with running_instance(folder, **here.fresh_settings()) as instance:
        bench = _Bench(here, instance, floor)
        bench.found_datasource()
        if "batch" in _CASES:
            bench.batch(Cost(alone.cpu_s / files, alone.wall_s / files), servers_s / files)
        if "single" in _CASES:
            bench.singles()
        if "100mb" in _CASES:
            bench.large()


class _Floor:
    """The stages as plain function calls in this process, on stores of their own."""

    def __init__(self, here: Place) -> None:
        self._here = here
        self._ports = build_ports(here.fresh_home())
        self._servers = here.servers("postgresql", "minio")
        self.take(sales_files(1, 1_000))  # warms what a first call warms

    def take(self, files: Iterable[bytes]) -> tuple[Cost, float]:
        """The cost in this process, and the CPU seconds of PostgreSQL and MinIO; what comes before the stages is not counted."""
        jobs = [_register(self._ports, f"{secrets.token_hex(8)}.csv", content) for content in files]
        before_s = spent_s(self._servers)
        cost = _carry_all(self._ports, jobs)
        return cost, spent_s(self._servers) - before_s

    def take_one(self, content: bytes) -> Cost:
        """The cost of one dataset."""
        return self.take([content])[0]

    def take_afresh(self, content: bytes) -> Cost:
        """The cost of one dataset in a new process, which like a run's finds no memory and no library in use."""
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(_take_one, self._here.fresh_home(), content).result()


def _take_one(settings: Settings, content: bytes) -> Cost:
    import_code()  # as a run's process has it: all is imported, and nothing was used
    ports = build_ports(settings)
    return _carry_all(ports, [_register(ports, "measured.csv", content)])


def _carry_all(ports: Ports, jobs: Sequence[Job]) -> Cost:
    with Stopwatch() as elapsed:
        for job in jobs:
            products = carry(ports, job)
            _require(products[-1].gate.passed, products[-1].gate)
    return elapsed()


def _register(ports: Ports, name: str, content: bytes) -> Job:
    key = f"elsewhere/{name}"
    ports.store.write_bytes(Root.UPLOADS, key, content)
    uri = ports.store.uri(Root.UPLOADS, key)
    return register_source(ports, uri, Wishes(datasource="sales", mode=Mode.APPEND)).job


@dataclass(frozen=True, slots=True)
class _Taken:
    """What files took that were put in one at a time, and the floor of each."""

    runs_s: list[float] = field(default_factory=list)
    all_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    floors: list[Cost] = field(default_factory=list)
    #: What the five stages took of `runs_s`, as each run noted it itself.
    stages_s: list[float] = field(default_factory=list)

    @property
    def floor(self) -> Cost:
        """The median, of CPU and wall seconds each."""
        return Cost(median(cost.cpu_s for cost in self.floors), median(cost.wall_s for cost in self.floors))


class _Bench:
    """Work given to one running instance."""

    def __init__(self, here: Place, instance: RunningInstance, floor: _Floor) -> None:
        self._place = here.name
        self._floor = floor
        self._servers = here.servers("postgresql", "minio")
        self._instance = instance

    def found_datasource(self) -> None:
        """Bring the first file by name, so that dropped ones are appended; it also warms what a first run warms."""
        [content] = sales_files(1, 1_000)
        _register(self._instance.ports, "founder.csv", content)
        self._wait_for(1)

    def batch(self, floor: Cost, floor_servers_s: float) -> None:
        """Many small files at once."""
        meter, servers_s, began = InstanceMeter(self._instance), spent_s(self._servers), time.perf_counter()
        for number, content in enumerate(sales_files(_FILES, _FILE_BYTES)):
            self._drop(f"batch_{number}.csv", content)
        self._wait_for(1 + _FILES)
        wall_s, servers_s = time.perf_counter() - began, spent_s(self._servers) - servers_s
        self._print("batch", "cpu_s", meter.runs_s(), floor.cpu_s * _FILES)
        self._print("batch-everything", "cpu_s", meter.all_s(), floor.cpu_s * _FILES)
        self._print("batch", "wall_s", wall_s, floor.wall_s * _FILES)
        if self._servers:
            self._print("batch-servers", "cpu_s", servers_s, floor_servers_s * _FILES)

    def singles(self) -> None:
        """Small files one at a time."""
        taken = self._one_at_a_time("single", sales_files(_SINGLES, _FILE_BYTES), self._floor.take_one)
        self._print("single-warm", "cpu_s", median(taken.runs_s), taken.floor.cpu_s)
        self._print("single-warm-everything", "cpu_s", median(taken.all_s), taken.floor.cpu_s)
        self._print("single-warm-p50", "wall_s", median(taken.latencies_s), taken.floor.wall_s)
        self._print("single-warm-p95", "wall_s", quantiles(taken.latencies_s, n=20)[-1], taken.floor.wall_s)

    def large(self) -> None:
        """Large files, each in a run of its own."""
        taken = self._one_at_a_time("large", sales_files(_LARGES, _LARGE_BYTES), self._floor.take_afresh)
        self._print("100mb", "cpu_s", median(taken.runs_s), taken.floor.cpu_s)
        self._print("100mb", "wall_s", median(taken.latencies_s), taken.floor.wall_s)
        self._print("100mb-beside-stages", "cpu_s", median(taken.runs_s), median(taken.stages_s), peer="its-own-five-stages")

    def _one_at_a_time(self, name: str, files: Iterable[bytes], take: Callable[[bytes], Cost]) -> "_Taken":
        """Each beside the floor of the same moment: a shared machine is not always as fast."""
        taken = _Taken()
        for number, content in enumerate(files):
            meter = InstanceMeter(self._instance)
            self._drop(f"{name}_{number}.csv", content)
            self._wait_for_newest(f"{name}_{number}.csv")
            taken.runs_s.append(meter.runs_s())
            taken.all_s.append(meter.all_s())
            taken.latencies_s.append(self._newest_latency_s())
            taken.stages_s.append(self._newest_stages_s())
            taken.floors.append(take(content))
        return taken

    # ---- how work is given and waited for

    def _drop(self, name: str, content: bytes) -> None:
        self._instance.ports.store.write_bytes(Root.UPLOADS, f"{INCOMING}sales/{name}", content)

    def _wait_for(self, datasets: int) -> None:
        """Until so many datasets are completed and their runs are over."""

        def are_completed() -> bool:
            jobs = [job for _, job in self._instance.ports.catalog.datasets(DatasetFilter(limit=datasets + 1))]
            failed = [job.error for job in jobs if job.state is JobState.FAILED]
            _require(not failed, failed[:1])
            return sum(job.state is JobState.COMPLETED for job in jobs) == datasets

        self._wait_until(are_completed, every_seconds=2.0)

    def _wait_for_newest(self, filename: str) -> None:
        """Until this dataset is completed and its run is over. Asks little: what it costs would disturb what is measured."""

        def is_completed() -> bool:
            [(dataset, job)] = self._instance.ports.catalog.datasets(DatasetFilter(limit=1))
            _require(job.state is not JobState.FAILED, job.error)
            return dataset.filename == filename and job.state is JobState.COMPLETED

        self._wait_until(is_completed, every_seconds=0.25)

    def _wait_until(self, done: Callable[[], bool], every_seconds: float) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not done() or self._instance.workers():
            _require(time.monotonic() < deadline, f"not done in {_PATIENCE_SECONDS:.0f} seconds")
            time.sleep(every_seconds)

    def _newest_latency_s(self) -> float:
        [(dataset, job)] = self._instance.ports.catalog.datasets(DatasetFilter(limit=1))
        assert job.ended_at is not None, job  # noqa: S101 - it was waited for
        return (job.ended_at - dataset.created_at).total_seconds()

    def _newest_stages_s(self) -> float:
        [(dataset, _)] = self._instance.ports.catalog.datasets(DatasetFilter(limit=1))
        with dagster_of(self._instance) as dagster:
            told = [
                dagster.fetch_materializations(
                    dg.AssetRecordsFilter(dg.AssetKey(stage.value), asset_partitions=[dataset.dataset_id]), limit=1
                ).records[0]
                for stage in Stage
            ]
        values = [record.asset_materialization.metadata[CPU_SECONDS].value for record in told if record.asset_materialization]
        return sum(float(str(value)) for value in values)

    def _print(self, case: str, unit: str, ours: float, peers: float, peer: str = "take-through-in-one-process") -> None:
        figure: dict[str, Any] = {"case": f"{case}-{self._place}", "peer": peer, "unit": unit}
        self._line(figure | {"ours": round(ours, 3), "peers": round(peers, 3), "ratio": round(ours / peers, 2)})

    def _line(self, figure: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps({"benchmark": "small", **figure}) + "\n")
        sys.stdout.flush()


def _require(holds: bool, what: object) -> None:  # noqa: FBT001 - reads like assert, which may be switched off
    if not holds:
        raise RuntimeError(f"the work that is measured failed: {what}")


if __name__ == "__main__":
    main()

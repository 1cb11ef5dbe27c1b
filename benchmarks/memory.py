"""What an instance keeps in memory: resting, with one run, and with eight at once: `make bench-memory`.

Prints MB per kind of process: PSS, in which a page that several processes share is counted once between them. The files
are of 60 MB, so that eight runs are under way together; the figures are the highest sum seen meanwhile, and say of how
many runs at that moment.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks._meters import memory_mb
from benchmarks._sales_files import sales_files
from metricfoundry_dagster.domain.layout import INCOMING
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster_tests.running_instance import RunningInstance, running_instance

_FILE_BYTES = 60_000_000
_PATIENCE_SECONDS = 600.0
_RUNS, _COUNT = "runs", "count"
_KINDS = {
    "warm-parent": ("orchestration.warm_parent",),
    "daemon": ("dagster._daemon",),
    "web-server": ("dagster_webserver",),
    "code-server": ("code-server start", "api grpc"),  # one looks after the other
}


def main() -> None:
    """Measure and print every figure."""
    folder = Path(tempfile.mkdtemp(prefix="bench-memory-"))
    try:
        with running_instance(folder, max_concurrent_runs=8) as instance:
            _carry(instance, "warmed", files=1)  # the web server and the daemon load what they need at first use
            _report("resting", _read(instance))
            _report("one-run", _carry(instance, "one", files=1))
            _report("eight-runs", _carry(instance, "eight", files=8))
    finally:
        shutil.rmtree(folder)


def _carry(instance: RunningInstance, name: str, *, files: int) -> dict[str, float]:
    """Let so many files be carried at once; the reading with the highest sum."""
    [content] = sales_files(1, _FILE_BYTES)
    for number in range(files):
        instance.ports.store.write_bytes(Root.UPLOADS, f"{INCOMING}{name}_{number}/sales.csv", content)
    highest: dict[str, float] = {}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        reading = _read(instance)
        highest = max(highest, reading, key=_everything_mb)
        newest = [job for dataset, job in instance.ports.catalog.datasets(DatasetFilter()) if dataset.datasource.startswith(name)]
        if len(newest) == files and all(job.state.ended for job in newest):
            return highest
        time.sleep(0.2)
    raise RuntimeError(f"{files} files were not carried in {_PATIENCE_SECONDS:.0f} seconds")


def _read(instance: RunningInstance) -> dict[str, float]:
    workers = instance.workers()
    others = [process for process in instance.processes() if process not in workers]
    reading = {kind: memory_mb(process for process in others if _is(process, words)) for kind, words in _KINDS.items()}
    return reading | {_RUNS: memory_mb(workers), _COUNT: len(workers)}


def _is(process: psutil.Process, words: tuple[str, ...]) -> bool:
    try:
        command = " ".join(process.cmdline())
        return any(each in command for each in words)
    except psutil.NoSuchProcess:
        return False


def _everything_mb(reading: dict[str, float]) -> float:
    return sum(megabytes for kind, megabytes in reading.items() if kind != _COUNT)


def _report(case: str, reading: dict[str, float]) -> None:
    count = round(reading.pop(_COUNT))
    for kind, megabytes in [*reading.items(), ("everything", _everything_mb(reading))]:
        figure = {"benchmark": "memory", "case": f"{case}-{kind}", "unit": "pss_mb", "ours": round(megabytes), "runs": count}
        sys.stdout.write(json.dumps(figure) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

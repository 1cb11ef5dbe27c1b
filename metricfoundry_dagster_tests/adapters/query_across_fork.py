"""Asks a DuckDB engine in a parent process, then in forked children: run as a program, because pytest's process has more threads.

Exits with 0 when every child answers as its parent did.
"""

import os
import signal
import sys
from pathlib import Path

import pyarrow as pa

from metricfoundry_dagster.adapters.duckdb_engine import DuckDbEngine
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_versions import MemoryVersions
from metricfoundry_dagster_tests.port_contracts.engines.served import Served

_HANGS_AFTER_SECONDS = 30


def main(folder: Path, forks: int) -> int:
    """How many children failed or hung, of `forks`."""
    store = FsspecStore({root: str(folder / root) for root in Root})
    served = Served(DuckDbEngine(MemoryVersions(), store, folder / "cache", FixedClock()), store)
    served.engine.serve(served.servable({"t": pa.table({"n": list(range(50))})}))
    expected = served.column("SELECT sum(n) FROM sales")
    return sum(_answer_in_child(served) != expected for _ in range(forks))


def _answer_in_child(served: Served) -> list[object]:
    child = os.fork()
    if child == 0:
        signal.alarm(_HANGS_AFTER_SECONDS)
        try:
            os._exit(0 if served.column("SELECT sum(n) FROM sales") == [1225] else 1)
        finally:
            os._exit(2)
    return [1225] if os.waitpid(child, 0)[1] == 0 else []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))

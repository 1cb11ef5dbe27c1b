"""What staging a workbook costs: `make bench-stage-excel`.

One sheet of thirteen columns of sales, written as Excel writes it, in child processes that take turns:

    <rows>-to-parquet  staged by us, against the bare reader whose columns go into one Parquet file as they are
    <rows>-read-only   the same figures of ours, against the bare reader alone, which keeps nothing

CPU seconds are those of the work and of the processes that it starts, our isolated reader among them, without starting
Python and importing; so is the peak of resident memory, the largest of them. `ROWS` sets the size (200,000 by default,
`SIZE=small` takes 5,000). Only ours proves that no cell was lost or changed.
"""

import json
import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

_ROWS = int(os.environ.get("ROWS", "5000" if os.environ.get("SIZE") == "small" else "200000"))
_ROUNDS = 3
_WARM_UP_ROWS = 20


def main() -> None:
    """Measure and print every figure."""
    with tempfile.TemporaryDirectory(prefix="bench-stage-excel-") as folder:
        large, small = Path(folder, "large.xlsx"), Path(folder, "small.xlsx")
        # In a process of its own, for a child inherits the peak of its parent's memory.
        writing = multiprocessing.get_context("spawn").Process(target=_write_inputs, args=(large, small))
        writing.start()
        writing.join()
        costs: dict[Callable[[Path], None], list[tuple[float, float]]] = {stage_with_us: [], read_to_parquet: [], read_only: []}
        for _ in range(_ROUNDS):
            for work, found in costs.items():
                found.append(_cost_of(work, large))
        _print("to-parquet", "fastexcel-to-parquet", costs[stage_with_us], costs[read_to_parquet])
        _print("read-only", "fastexcel", costs[stage_with_us], costs[read_only])


def stage_with_us(path: Path) -> None:
    """What `metricfoundry stage` does with a workbook."""
    from metricfoundry_dagster.domain.limits import Limits
    from metricfoundry_dagster.domain.products import Root
    from metricfoundry_dagster.pipeline.staging.stage_file import stage_file
    from metricfoundry_dagster.wiring import build_directory_store

    staged = stage_file(
        path,
        filename=path.name,
        store=build_directory_store(str(path.with_name(f"ours-{os.getpid()}-{path.stem}"))),
        root=Root.ARTIFACTS,
        prefix="0/",
        overrides={},
        limits=Limits(),
        progress=lambda _share: None,
    )
    if staged.tables[0].rows_rejected:
        raise RuntimeError(f"{staged.tables[0].rows_rejected} rows of a clean workbook were rejected")


def read_only(path: Path) -> Any:
    """The bare reader, in this process: one abort of it would end us."""
    import fastexcel

    return fastexcel.read_excel(path).load_sheet(0, schema_sample_rows=None).to_arrow()


def read_to_parquet(path: Path) -> None:
    """The bare reader, and what it gives as a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_batches([read_only(path)]), path.with_suffix(f".{os.getpid()}.parquet"), compression="zstd")


def _print(case: str, peer: str, ours: list[tuple[float, float]], peers: list[tuple[float, float]]) -> None:
    our_cpu_s, peer_cpu_s = (median(cpu for cpu, _ in costs) for costs in (ours, peers))
    figure = {
        "benchmark": "stage-excel",
        "case": f"{_ROWS}-{case}",
        "peer": peer,
        "unit": "cpu_s",
        "ours": round(our_cpu_s, 4),
        "peers": round(peer_cpu_s, 4),
        "ratio": round(our_cpu_s / peer_cpu_s, 2),
        "ours_peak_mb": round(max(peak for _, peak in ours)),
        "peers_peak_mb": round(max(peak for _, peak in peers)),
    }
    print(json.dumps(figure), flush=True)


def _cost_of(work: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """CPU seconds and peak megabytes of a fresh process that did it, and of its children."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(work, path, sending))
    child.start()
    sending.close()
    cost: tuple[float, float] = receiving.recv()
    child.join()
    return cost


def _measure(work: Callable[[Path], None], path: Path, sending: Connection) -> None:
    work(path.with_name("small.xlsx"))  # imports, and what libraries set up on first use
    start = sum(os.times()[:4])
    work(path)
    cpu_s = sum(os.times()[:4]) - start
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sending.send((cpu_s, max(peaks) / 1024))


def _write_inputs(large: Path, small: Path) -> None:
    import numpy as np

    from benchmarks.stage_csv import sales_rows
    from metricfoundry_dagster_tests.pipeline.staging.workbook_bytes import workbook

    for path, rows in ((large, _ROWS), (small, _WARM_UP_ROWS)):
        table = sales_rows(np.random.default_rng(20_261_121), 0, rows)
        cells = zip(*(column.to_pylist() for column in table.columns), strict=True)
        path.write_bytes(workbook({"Sales": [table.column_names, *cells]}, shared=True))


if __name__ == "__main__":
    main()

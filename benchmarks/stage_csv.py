"""What staging CSV costs: `make bench-stage-csv`.

The same file, thirteen columns of sales with quotes and line ends in cells, made typed Parquet by us and by DuckDB's
`COPY` with the types of the whole file, in child processes that take turns:

    <size>              every value fits the types that the first rows have
    <size>-late-misfit  one value near the end does not, so that we read the file a second time; DuckDB has looked at
                        all of it before either way
    10kb                many small files one after another in a warm process, DuckDB on one kept connection

CPU seconds are those of the work without starting Python and importing; the peak of resident memory is the whole
process's. `SIZE_MB` sets the size (100 by default, `SIZE=small` takes 5). Only ours accounts for every row.
"""

import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from benchmarks._fresh_process import cost_of, print_costs

_SIZE_MB = int(os.environ.get("SIZE_MB", "5" if os.environ.get("SIZE") == "small" else "100"))
_SIZE = f"{_SIZE_MB}mb" if _SIZE_MB < 1_000 else f"{_SIZE_MB / 1_000:g}gb"
_SMALL_FILES = 200
_ROWS_A_WRITE = 50_000
_SEED = 20_261_121
_ROUNDS = 3
_NOTES = np.array(["", "ok", "left at the door", 'the label says "fragile"', "first line\nsecond line", "red, large"])
_CUSTOMERS = np.array(["Ada Lovelace", "Łukasz Żak", "Jones, Mary", "José Ñúñez", "Kim"])


def main() -> None:
    """Measure and print every figure."""
    with tempfile.TemporaryDirectory(prefix="bench-stage-csv-") as folder:
        plain, late, small = (Path(folder, f"{name}.csv") for name in ("plain", "late", "small"))
        # In a process of its own, for a child inherits the peak of its parent's memory.
        writing = multiprocessing.get_context("spawn").Process(target=_write_inputs, args=(plain, late, small))
        writing.start()
        writing.join()
        _compare(_SIZE, plain, 1)
        _compare(f"{_SIZE}-late-misfit", late, 1)
        _compare("10kb", small, _SMALL_FILES)


def stage_with_us(path: Path, times: int) -> None:
    """What `metricfoundry stage` does with a file."""
    from metricfoundry_dagster.domain.limits import Limits
    from metricfoundry_dagster.domain.products import Root
    from metricfoundry_dagster.pipeline.staging.stage_file import stage_file
    from metricfoundry_dagster.wiring import build_directory_store

    for number in range(times):
        store = build_directory_store(str(path.with_name(f"ours-{os.getpid()}")))
        staged = stage_file(
            path,
            filename=path.name,
            store=store,
            root=Root.ARTIFACTS,
            prefix=f"{number}/",
            overrides={},
            limits=Limits(),
            progress=lambda _share: None,
        )
        if staged.tables[0].rows_rejected:
            raise RuntimeError(f"{staged.tables[0].rows_rejected} rows of a clean file were rejected")


def copy_with_duckdb(path: Path, times: int) -> None:
    """The same by `COPY`, with the types of the whole file."""
    import duckdb

    connection = duckdb.connect()
    for number in range(times):
        target = path.with_name(f"duckdb-{os.getpid()}-{number}.parquet")
        relation = connection.read_csv(str(path), sample_size=-1)
        relation.write_parquet(str(target), compression="zstd")


def _compare(case: str, path: Path, times: int) -> None:
    ours, peers = [], []
    for _ in range(_ROUNDS):
        ours.append(cost_of(stage_with_us, path, times, path.with_name("small.csv")))
        peers.append(cost_of(copy_with_duckdb, path, times, path.with_name("small.csv")))
    print_costs("stage-csv", case, "duckdb-copy-full", ours, peers)


def _write_inputs(plain: Path, late: Path, small: Path) -> None:
    _write_sales(plain, _SIZE_MB * 1_000_000)
    shutil.copyfile(plain, late)
    with late.open("ab") as stream:
        stream.write(b"unknown" + b"," * 12 + b"\n")
    _write_sales(small, 10_000)


def _write_sales(path: Path, size_bytes: int) -> None:
    """Rows until the file has about that many bytes."""
    rng = np.random.default_rng(_SEED)
    rows = min(_ROWS_A_WRITE, size_bytes // 120)
    with path.open("wb") as stream:
        options = pa_csv.WriteOptions(include_header=True, quoting_style="needed")
        start = 0
        while stream.tell() < size_bytes - 60 * rows:
            pa_csv.write_csv(sales_rows(rng, start, rows), stream, options)
            options.include_header = False
            start += rows


def sales_rows(rng: np.random.Generator, start: int, rows: int) -> pa.Table:
    """Rows of sales, numbered from `start`: thirteen columns of all kinds."""
    moments = 1_700_000_000 + np.arange(start, start + rows) * 7
    return pa.table(
        {
            "order_id": np.arange(start, start + rows),
            "ordered_at": pa.array(moments, pa.timestamp("s")),
            "day": pa.array(moments // 86_400, pa.int32()).cast(pa.date32()),
            "store": rng.integers(1, 400, rows),
            "customer": _CUSTOMERS[rng.integers(0, len(_CUSTOMERS), rows)],
            "quantity": rng.poisson(3, rows),
            "unit_price": np.round(rng.lognormal(3, 1, rows), 2),
            "discount": pa.array(np.round(rng.random(rows), 2), mask=rng.random(rows) < 0.3),
            "paid": rng.random(rows) < 0.9,
            "note": _NOTES[rng.integers(0, len(_NOTES), rows)],
            "sku": [f"{number:08d}" for number in rng.integers(0, 10**8, rows)],
            "latitude": np.round(rng.uniform(-90, 90, rows), 6),
            "longitude": np.round(rng.uniform(-180, 180, rows), 6),
        }
    )


if __name__ == "__main__":
    main()

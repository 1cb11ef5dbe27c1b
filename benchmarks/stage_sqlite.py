"""What staging SQLite costs: `make bench-stage-sqlite`.

One table of eight columns, made typed Parquet by us and by the bare ADBC driver, which is the fastest reader there is, in
child processes that take turns:

    <size>              every value fits the types that the first and the last rows have
    <size>-late-misfit  one value in the middle is text in a column of integers: we read all values a second time, to count
                        them by their storage classes, and a third time. The driver dies of it, so it has the first file
    10kb                many small files one after another in a warm process

Ours counts every row by SQLite's own count, proves every text to be UTF-8, makes times of texts, and knows the types of all
rows; the driver has the types of its first batch and proves nothing. CPU seconds are those of the work without starting
Python and importing; the peak of resident memory is the whole process's. `SIZE_MB` sets the size (100 by default,
`SIZE=small` takes 5).
"""

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks._fresh_process import cost_of, print_costs

_SIZE_MB = int(os.environ.get("SIZE_MB", "5" if os.environ.get("SIZE") == "small" else "100"))
_SIZE = f"{_SIZE_MB}mb" if _SIZE_MB < 1_000 else f"{_SIZE_MB / 1_000:g}gb"
_ROW_BYTES = 78
_SMALL_FILES = 100
_ROWS_A_WRITE = 50_000
_SEED = 20_261_121
_ROUNDS = 3
_NOTES = ("", "ok", "left at the door", None, "first line\nsecond line")


def main() -> None:
    """Measure and print every figure."""
    with tempfile.TemporaryDirectory(prefix="bench-stage-sqlite-") as folder:
        plain, late, small = (Path(folder, f"{name}.db") for name in ("plain", "late", "small"))
        # In a process of its own, for a child inherits the peak of its parent's memory.
        writing = multiprocessing.get_context("spawn").Process(target=_write_inputs, args=(plain, late, small))
        writing.start()
        writing.join()
        _compare(_SIZE, plain, plain, 1)
        _compare(f"{_SIZE}-late-misfit", late, plain, 1)
        _compare("10kb", small, small, _SMALL_FILES)


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
        if staged.tables[0].rows_rejected != (path.stem == "late"):
            raise RuntimeError(f"{staged.tables[0].rows_rejected} rows were rejected")


def copy_with_adbc(path: Path, times: int) -> None:
    """The bare driver, with batches of the size that suits it best."""
    import adbc_driver_sqlite.dbapi
    import pyarrow.parquet as pq

    for number in range(times):
        target = path.with_name(f"adbc-{os.getpid()}-{number}.parquet")
        with adbc_driver_sqlite.dbapi.connect(f"file:{path}?mode=ro") as connection, connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": "50000"})
            cursor.execute("SELECT * FROM sales")
            batches = cursor.fetch_record_batch()
            with pq.ParquetWriter(target, batches.schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)


def _compare(case: str, path: Path, peers_path: Path, times: int) -> None:
    ours, peers = [], []
    for _ in range(_ROUNDS):
        ours.append(cost_of(stage_with_us, path, times, path.with_name("small.db")))
        peers.append(cost_of(copy_with_adbc, peers_path, times, path.with_name("small.db")))
    print_costs("stage-sqlite", case, "adbc-to-parquet", ours, peers)


def _write_inputs(plain: Path, late: Path, small: Path) -> None:
    rows = _SIZE_MB * 1_000_000 // _ROW_BYTES
    _write_sales(plain, rows)
    shutil.copyfile(plain, late)
    with closing(sqlite3.connect(late)) as made:
        made.execute("UPDATE sales SET quantity = 'unknown' WHERE id = ?", (rows // 2,))
        made.commit()
    _write_sales(small, 10_000 // _ROW_BYTES)


def _write_sales(path: Path, rows: int) -> None:
    rng = np.random.default_rng(_SEED)
    with closing(sqlite3.connect(path)) as made:
        made.execute(
            "CREATE TABLE sales (id INTEGER PRIMARY KEY, customer TEXT, unit_price REAL, quantity INTEGER, note TEXT,"
            " paid BOOLEAN, ordered_at DATETIME, discount NUMERIC)"
        )
        for start in range(0, rows, _ROWS_A_WRITE):
            made.executemany(
                "INSERT INTO sales VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _sales(rng, start, min(_ROWS_A_WRITE, rows - start))
            )
        made.commit()


def _sales(rng: np.random.Generator, start: int, rows: int) -> Iterator[tuple[object, ...]]:
    ids = range(start, start + rows)
    moments = np.datetime_as_string(np.datetime64("2024-01-01", "s") + np.arange(start, start + rows) * 7).tolist()
    return zip(
        ids,
        [f"customer {number}" for number in rng.integers(0, 5_000, rows)],
        np.round(rng.lognormal(3, 1, rows), 2).tolist(),
        rng.poisson(3, rows).tolist(),
        [_NOTES[number] for number in rng.integers(0, len(_NOTES), rows)],
        rng.integers(0, 2, rows).tolist(),
        [moment.replace("T", " ") for moment in moments],
        np.round(rng.random(rows), 2).tolist(),
        strict=True,
    )


if __name__ == "__main__":
    main()

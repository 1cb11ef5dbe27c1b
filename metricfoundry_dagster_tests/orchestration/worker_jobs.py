"""A code location of jobs that do to a run worker what datasets never would. Each works in the folder of the tag `folder`."""

import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg


def _folder(context: dg.OpExecutionContext) -> Path:
    return Path(context.run.tags["folder"])


@dg.op
def wait_for_file(context: dg.OpExecutionContext) -> None:
    """Say that it began, and end when `go` is there."""
    (_folder(context) / f"{context.run_id}.began").touch()
    while not (_folder(context) / "go").exists():
        time.sleep(0.02)


@dg.op
def resist(context: dg.OpExecutionContext) -> None:
    """Start a process, and go on for ever, whatever interrupts it."""
    subprocess.Popen(["sleep", "600"])
    (_folder(context) / f"{context.run_id}.began").touch()
    while True:
        with suppress(BaseException):
            time.sleep(600)


@dg.op
def use_libraries(context: dg.OpExecutionContext) -> None:
    """Make every library work that would hang in a child of a process that has used it."""
    import duckdb
    import numpy as np
    import pandera.polars as pa_model
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = _folder(context) / f"{context.run_id}.parquet"
    pq.write_table(pa.table({"a": range(1_000)}), path)
    frame = pl.scan_parquet(path).group_by(pl.col("a") % 7).len().sort("a").collect()
    pa_model.DataFrameSchema({"a": pa_model.Column(int)}).validate(frame)
    answer = duckdb.execute(f"SELECT sum(a) FROM '{path}'").fetchall()
    print(f"seen {frame['len'].sum()} {answer}")  # noqa: T201 - the test looks for it
    (_folder(context) / f"{context.run_id}.chance").write_text(f"{random.random()} {np.random.random()}")


@dg.job(executor_def=dg.in_process_executor)
def waiting_job() -> None:
    """See `wait_for_file`."""
    wait_for_file()


@dg.job(executor_def=dg.in_process_executor)
def resisting_job() -> None:
    """See `resist`."""
    resist()


@dg.job(executor_def=dg.in_process_executor)
def library_job() -> None:
    """See `use_libraries`."""
    use_libraries()


defs = dg.Definitions(jobs=[waiting_job, resisting_job, library_job])

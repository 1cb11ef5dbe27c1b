"""What staging a JSON document costs: `make bench-stage-json`.

One list of flat objects, made typed Parquet by us, by DuckDB's `COPY` with the types of the whole file, and by Polars;
ijson only goes through it, building every object. Each in a process of its own, one after another:

    <size>         pretty: an element a line
    <size>-dense   all of it on one line

CPU seconds are those of the work without starting Python and importing; the peak of resident memory is the whole
process's. `SIZE_MB` sets the size (100 by default, `SIZE=small` takes 5). Only ours accounts for every element.
"""

import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from benchmarks.stage_csv import stage_with_us

_SIZE_MB = int(os.environ.get("SIZE_MB", "5" if os.environ.get("SIZE") == "small" else "100"))
_ROWS = 20_000
_ROUNDS = 3
_SEED = 20_261_121


def main() -> None:
    """Measure and print every figure."""
    with tempfile.TemporaryDirectory(prefix="bench-stage-json-") as folder:
        for case, between in ((f"{_SIZE_MB}mb", ",\n"), (f"{_SIZE_MB}mb-dense", ",")):
            path = Path(folder, "document.json")
            # In a process of its own, for a child inherits the peak of its parent's memory.
            writing = multiprocessing.get_context("spawn").Process(target=write_document, args=(path, between))
            writing.start()
            writing.join()
            _compare(case, path)


def write_document(path: Path, between: str) -> None:
    """A list of objects with numbers, dates, texts with escapes, booleans and nulls."""
    draw = random.Random(_SEED)  # noqa: S311 - nothing secret
    rows = [
        {
            "id": number,
            "customer": f"C{draw.randrange(10**6):07d}",
            "day": f"2024-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}",
            "amount": round(draw.random() * 1000, 2),
            "quantity": draw.randrange(100),
            "note": draw.choice(["ok", "late", 'say "hi"', None, "ünï"]),
            "paid": draw.random() < 0.5,
        }
        for number in range(_ROWS)
    ]
    text = between.join(json.dumps(row, ensure_ascii=False) for row in rows)
    times = max(_SIZE_MB * 10**6 // len(text.encode()), 1)
    with path.open("w") as file:
        file.write("[")
        for number in range(times):
            file.write((between if number else "") + text)
        file.write("]")


def copy_with_duckdb(path: Path, _times: int) -> None:
    """The same by `COPY`, with the types of the whole file."""
    import duckdb

    target = path.with_name(f"duckdb-{os.getpid()}.parquet")
    duckdb.connect().read_json(str(path), sample_size=-1).write_parquet(str(target), compression="zstd")
    target.unlink()


def copy_with_polars(path: Path, _times: int) -> None:
    """The same by reading all of it into memory."""
    import polars as pl

    target = path.with_name(f"polars-{os.getpid()}.parquet")
    pl.read_json(path, infer_schema_length=None).write_parquet(target, compression="zstd")
    target.unlink()


def walk_with_ijson(path: Path, _times: int) -> None:
    """Every object built, none kept."""
    import ijson  # type: ignore[import-untyped]  # it has no types

    with path.open("rb") as file:
        for _row in ijson.items(file, "item", use_float=True):
            pass


def _compare(case: str, path: Path) -> None:
    ways = {"ours": stage_with_us, "duckdb": copy_with_duckdb, "polars": copy_with_polars, "ijson": walk_with_ijson}
    costs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, work in ways.items():
            costs[name].append(_cost_of(work, path))
    ours_cpu_s, ours_wall_s = (median(cost[part] for cost in costs["ours"]) for part in (0, 1))
    for peer in ("duckdb", "polars", "ijson"):
        cpu_s, wall_s = (median(cost[part] for cost in costs[peer]) for part in (0, 1))
        figure = {
            "benchmark": "stage-json",
            "case": case,
            "peer": peer,
            "unit": "cpu_s",
            "ours": round(ours_cpu_s, 3),
            "peers": round(cpu_s, 3),
            "ratio": round(ours_cpu_s / cpu_s, 2),
            "wall_ratio": round(ours_wall_s / wall_s, 2),
            "ours_peak_mb": round(max(cost[2] for cost in costs["ours"])),
            "peers_peak_mb": round(max(cost[2] for cost in costs[peer])),
        }
        print(json.dumps(figure), flush=True)


def _cost_of(work: Callable[[Path, int], None], path: Path) -> tuple[float, float, float]:
    """CPU seconds, seconds and peak megabytes of a fresh process that did it."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(work, path, sending))
    child.start()
    sending.close()
    cost: tuple[float, float, float] = receiving.recv()
    child.join()
    return cost


def _measure(work: Callable[[Path, int], None], path: Path, sending: Connection) -> None:
    warm_up = path.with_name("small.json")
    warm_up.write_text('[{"a": 1}, {"a": 2}]')
    work(warm_up, 1)  # imports, and what libraries set up on first use
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    work(path, 1)
    cost = time.process_time() - cpu_s, time.perf_counter() - wall_s
    sending.send((*cost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


if __name__ == "__main__":
    main()

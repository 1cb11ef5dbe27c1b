"""What a profile costs: `make bench-profile`.

The same Parquet file, twelve columns of sales, profiled by us and by two peers, in child processes that take turns:

    duckdb-summarize   `SUMMARIZE`: approximate distinct counts and quantiles, no top values, duplicates or outliers
    duckdb-exact       our numbers in exact SQL: distinct, quantiles, deviation, top values, outliers, duplicate rows

CPU seconds are those of the work without starting Python and importing; the peak of resident memory is the whole
process's. `SIZE_MB` sets the size that the file would have as CSV (100 by default, `SIZE=small` takes 5). Ours also
writes both files of the report.
"""

import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_SIZE_MB = int(os.environ.get("SIZE_MB", "5" if os.environ.get("SIZE") == "small" else "100"))
_CSV_BYTES_A_ROW = 103
_ROW_GROUP_ROWS = 131_072
_SEED = 20_261_121
_ROUNDS = 3
_COUNTRIES = np.array(["DE", "FR", "US", "GB", "NL", "SE", "JP", "BR"])
_CATEGORIES = np.array(["toys", "books", "garden", "food", "sport"])
_NUMBERS = ("order_id", "customer_id", "quantity", "unit_price", "discount")
_TOP = "(SELECT list(r) FROM (SELECT {0} AS v, count(*) AS n FROM sales GROUP BY ALL ORDER BY n DESC LIMIT 10) AS r)"


def main() -> None:
    """Measure and print every figure."""
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as folder:
        path = Path(folder, "sales.parquet")
        _write_sales(path, _SIZE_MB * 1_000_000 // _CSV_BYTES_A_ROW)
        contestants = {"ours": profile_with_us, "duckdb-summarize": summarize_with_duckdb, "duckdb-exact": exact_with_duckdb}
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(_ROUNDS):
            for name, work in contestants.items():
                costs[name].append(_cost_of(work, path))
    case = f"{_SIZE_MB}mb" if _SIZE_MB < 1_000 else f"{_SIZE_MB / 1_000:g}gb"
    for peer in ("duckdb-summarize", "duckdb-exact"):
        _print_figure(case, peer, costs["ours"], costs[peer])


def profile_with_us(path: Path) -> None:
    """Every number of the report, and both of its files."""
    from metricfoundry_dagster.pipeline.profiling.profile_tables import profile_tables
    from metricfoundry_dagster.pipeline.profiling.render_report import render_report
    from metricfoundry_dagster.pipeline.profiling.report import ReportSubject

    report = profile_tables({"sales": [path]}, subject=ReportSubject(path.name), created_at=datetime.now(UTC))
    path.with_name("report.json").write_bytes(report.to_bytes())
    path.with_name("report.html").write_text(render_report(report), "utf-8")


def summarize_with_duckdb(path: Path) -> None:
    """What DuckDB tells of a table by itself."""
    import duckdb

    duckdb.connect().execute("SUMMARIZE SELECT * FROM read_parquet($1)", [str(path)]).fetchall()


def exact_with_duckdb(path: Path) -> None:
    """The numbers of our report in SQL, without approximations."""
    import duckdb

    connection = duckdb.connect()
    connection.read_parquet(str(path)).create_view("sales")
    for column in pq.read_schema(path).names:
        connection.execute(f"SELECT {', '.join(_measures(column))} FROM sales").fetchall()  # noqa: S608 -- names of our own
        if column in _NUMBERS:
            connection.execute(_outliers_sql(column)).fetchall()
    connection.execute("SELECT count(*) FROM (SELECT DISTINCT * FROM sales)").fetchall()


def _measures(column: str) -> list[str]:
    measures = [f"count({column})", f"count(DISTINCT {column})", f"min({column})", f"max({column})", _TOP.format(column)]
    if column in _NUMBERS:
        measures += [f"avg({column})", f"stddev_samp({column})", f"count_if({column} = 0)", f"count_if({column} < 0)"]
        measures += [f"quantile_cont({column}, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])"]
    elif column == "ordered_at":
        measures += [f"quantile_cont({column}, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])"]
    elif column != "paid":
        lengths = f"length({column})"
        measures += [f"min({lengths})", f"avg({lengths})", f"max({lengths})", f"count_if(trim({column}) = '')"]
    return measures


def _outliers_sql(column: str) -> str:
    quartiles = f"SELECT quantile_cont({column}, 0.25) AS a, quantile_cont({column}, 0.75) AS b FROM sales"  # noqa: S608 -- names of our own
    outside = f"{column} NOT BETWEEN a - 1.5 * (b - a) AND b + 1.5 * (b - a)"
    return f"SELECT count(*), max({column}) FROM sales, ({quartiles}) WHERE {outside}"  # noqa: S608 -- names of our own


def _cost_of(work: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """CPU seconds of the work and peak megabytes of a fresh process that did it."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(work, path, sending))
    child.start()
    sending.close()
    cost: tuple[float, float] = receiving.recv()
    child.join()
    return cost


def _measure(work: Callable[[Path], None], path: Path, sending: Connection) -> None:
    import duckdb  # noqa: F401 -- imported before the clock starts, like our own modules below

    import metricfoundry_dagster.pipeline.profiling.profile_tables
    import metricfoundry_dagster.pipeline.profiling.render_report  # noqa: F401 -- see above

    start = time.process_time()
    work(path)
    cpu_s = time.process_time() - start
    sending.send((cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _print_figure(case: str, peer: str, ours: list[tuple[float, float]], peers: list[tuple[float, float]]) -> None:
    our_cpu_s, peer_cpu_s = median(cpu for cpu, _ in ours), median(cpu for cpu, _ in peers)
    figure = {
        "benchmark": "profile",
        "case": case,
        "peer": peer,
        "unit": "cpu_s",
        "ours": round(our_cpu_s, 3),
        "peers": round(peer_cpu_s, 3),
        "ratio": round(our_cpu_s / peer_cpu_s, 2),
        "ours_peak_mb": round(max(peak for _, peak in ours)),
        "peers_peak_mb": round(max(peak for _, peak in peers)),
    }
    print(json.dumps(figure), flush=True)


def _write_sales(path: Path, rows: int) -> None:
    rng = np.random.default_rng(_SEED)
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, _ROW_GROUP_ROWS):
        table = _sales(rng, start, min(_ROW_GROUP_ROWS, rows - start))
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)
    if writer is not None:
        writer.close()


def _sales(rng: np.random.Generator, start: int, rows: int) -> pa.Table:
    moments = 1_700_000_000_000_000 + np.sort(rng.integers(0, 10**12, rows)) + start * 10**6
    notes = [f"note number {number} of many" for number in rng.integers(0, 50_000, rows)]
    return pa.table(
        {
            "order_id": np.arange(start, start + rows),
            "reference": [f"R{number:010d}" for number in rng.permutation(rows) + start],
            "ordered_at": pa.array(moments, pa.timestamp("us")),
            "customer_id": rng.integers(1, 200_000, rows),
            "sku": [f"SKU-{number:05d}" for number in rng.integers(0, 20_000, rows)],
            "category": _CATEGORIES[rng.integers(0, len(_CATEGORIES), rows)],
            "country": _COUNTRIES[rng.integers(0, len(_COUNTRIES), rows)],
            "quantity": rng.poisson(3, rows),
            "unit_price": np.round(rng.lognormal(3, 1, rows), 2),
            "discount": pa.array(np.round(rng.random(rows), 3), mask=rng.random(rows) < 0.1),
            "note": pa.array(notes, mask=rng.random(rows) < 0.5),
            "paid": rng.random(rows) < 0.9,
        }
    )


if __name__ == "__main__":
    main()

"""`metricfoundry demo`: an embedded instance with real data flowing through it.

The data is dropped like anybody's; nothing here helps it on its way. Every flight that left New York in 2013,
with planes, weather, airports and airlines.
"""

import time
from collections.abc import Callable, Sequence
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from metricfoundry_dagster.cli.sample_data import SampleName, drop_samples
from metricfoundry_dagster.cli.supervise import supervised
from metricfoundry_dagster.cli.up import keep_going, print_places
from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.settings import load_settings
from metricfoundry_dagster.wiring import build_ports

_QUERY = 'SELECT origin, count(*) AS flights, round(avg(dep_delay), 1) AS mean_delay FROM "flights" GROUP BY origin ORDER BY 1'
_TIMEOUT_SECONDS = 900


def demo(port: int | None, *, stay: bool = True) -> None:
    """Start everything, drop the sample data, wait until it is served, print the links; stop at Ctrl-C.

    Raises:
        ConflictError: `instance.running` when the home directory is in use.
        WorldError: `dagster.unreachable` when Dagster does not come up, or the data does not come through.
    """
    settings = load_settings()
    console = Console(stderr=True)
    with supervised(settings, port or settings.port) as supervisor:
        console.print("Starting Dagster …")
        ports = build_ports(settings)
        drop_samples(ports.store)
        supervisor.wait_until_ready()
        served = _watch(console, ports, supervisor.keep_alive)
        _print_results(console, ports, served)
        print_places(console, supervisor, settings)
        _print_next_steps(console, settings.uploads_root)
        if stay:
            keep_going(supervisor)
    console.print("Stopped. What was under way goes on at the next start.")


def _watch(console: Console, ports: Ports, keep_alive: Callable[[], None]) -> list[tuple[Dataset, Job]]:
    """Show a bar per dataset until the newest of each sample has ended."""
    names = get_args(SampleName)
    columns = (SpinnerColumn(), TextColumn("{task.description:10}"), BarColumn(), TextColumn("{task.fields[now]}"))
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars = {name: progress.add_task(name, total=100, now="dropped") for name in names}
        while time.monotonic() < deadline:
            keep_alive()
            newest = [ports.catalog.datasets(DatasetFilter(datasource=name, limit=1)) for name in names]
            for dataset, job in (row for rows in newest for row in rows):
                now = job.stage.value if job.stage and not job.state.ended else job.state.value
                progress.update(bars[dataset.datasource], completed=job.progress_percent, now=now)
            if all(rows and rows[0][1].state.ended for rows in newest):
                return [rows[0] for rows in newest]
            time.sleep(0.3)
    raise WorldError("dagster.unreachable", "the sample data did not come through in time; see the logs")


def _print_results(console: Console, ports: Ports, served: Sequence[tuple[Dataset, Job]]) -> None:
    for dataset, job in served:
        rows = ports.catalog.stage(dataset.dataset_id, Stage.DRUID_DATASOURCE)
        served_rows = f"{rows.rows_out:>9,} rows served" if rows else ""
        console.print(f"{dataset.datasource:10} {job.state.value:10} {served_rows}", highlight=False)
        if job.state is not JobState.COMPLETED and job.error is not None:
            console.print(f"  {job.error.message} {job.error.hint}", markup=False)
    answer = ports.engine.query(_QUERY, max_rows=10)
    console.print(f"\nmetricfoundry query '{_QUERY}'", markup=False, highlight=False, soft_wrap=True)
    for row in answer.rows:
        console.print("  " + "  ".join(f"{name} {value}" for name, value in zip(answer.columns, row, strict=True)))
    console.print()
    flights = next(dataset for dataset, _ in served if dataset.datasource == "flights")
    report = read_product(flights.dataset_id, Stage.PROFILE_REPORT, ports)
    for file in report.files_of("report") if report else ():
        if file.key.endswith(".html"):
            console.print(f"Report       {ports.store.uri(file.root, file.key)}", soft_wrap=True)


def _print_next_steps(console: Console, uploads_root: str) -> None:
    if "://" in uploads_root:
        return
    incoming = f"{uploads_root}/incoming"
    console.print("\nTry, in another terminal:", highlight=False)
    console.print(f"  python examples/break_rows.py {incoming}/flights/flights.csv broken.csv", soft_wrap=True, highlight=False)
    console.print(f"  cp broken.csv {incoming}/flights/", soft_wrap=True, highlight=False)
    console.print("  metricfoundry datasets list\n")

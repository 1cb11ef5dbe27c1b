"""Progress bars on standard error. Where that is no terminal nothing is shown."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from metricfoundry_dagster.cli.output import visible
from metricfoundry_dagster.domain.jobs import Job


@contextmanager
def job_bars(names: Mapping[str, str]) -> Iterator[Callable[[Job], None]]:
    """One bar per dataset id, named as given; tell it of the dataset's job at every look."""
    with _bars() as progress:
        bars = {key: progress.add_task(visible(name), total=100, now="waiting") for key, name in names.items()}

        def show(job: Job) -> None:
            now = job.stage.value if job.stage and not job.state.ended else job.state.value
            progress.update(bars[job.dataset_id], completed=job.progress_percent, now=now)

        yield show


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[float], None]]:
    """One bar; tell it the share that is done, in 0..1."""
    with _bars() as progress:
        bar = progress.add_task(visible(name), total=1.0, now="")
        yield lambda share: progress.update(bar, completed=share)


def _bars() -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[now]}"),
    )
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)

"""Kill -9 in the middle of a batch: what was done stays done, one dataset is suspected, and the others lose only time."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster_tests.faults.history import CHECKSUM_COLUMN, PutIn
from metricfoundry_dagster_tests.faults.judge_history import complaints_about
from metricfoundry_dagster_tests.faults.read_history import read_history
from metricfoundry_dagster_tests.faults.storm import dagster_of
from metricfoundry_dagster_tests.running_instance import RunningInstance, running_instance

_FILES = 40
_GROUP = 8
_KILLS = 3
_EXPLAINED = ("worker.died", "batch.interrupted")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[RunningInstance]:
    """An instance whose batches are told of in small groups, with one worker at a time."""
    with running_instance(tmp_path, batch_serve_datasets=_GROUP, max_concurrent_runs=1) as instance:
        yield instance


def put_in(instance: RunningInstance, number: int) -> PutIn:
    """Register one small file, appended."""
    values = list(range(number, number + 50))
    path = instance.folder / "sources" / f"{number}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([f"id,{CHECKSUM_COLUMN}", *(f"{n},{value}" for n, value in enumerate(values))]) + "\n")
    job = register_source(instance.ports, str(path), Wishes(datasource="events", mode=Mode.APPEND)).job
    uri = instance.ports.catalog.dataset(job.dataset_id).source_uri
    return PutIn(uri, "events", Mode.APPEND, len(values), sum(values))


def newest(instance: RunningInstance) -> list[Job]:
    """The newest job of each dataset."""
    return [job for _, job in instance.ports.catalog.datasets(DatasetFilter(limit=_FILES))]


def is_in_the_middle(instance: RunningInstance) -> bool:
    """Whether the worker of a batch has begun some datasets and not all."""
    jobs = newest(instance)
    begun = [job for job in jobs if job.state is JobState.PROCESSING and job.batch_id is not None and job.stage is not None]
    return bool(begun) and len(begun) < len([job for job in jobs if not job.state.ended])


def kill_in_the_middle(instance: RunningInstance) -> None:
    """Kill the worker of a batch, and wait until its jobs were looked after."""
    instance.wait_until(lambda: is_in_the_middle(instance), "a worker is in the middle of a batch")
    [worker] = instance.workers()
    dead = {job.run_id for job in newest(instance) if job.state is JobState.PROCESSING}
    worker.kill()

    def is_looked_after() -> bool:
        return not any(job.run_id in dead and not job.state.ended for job in newest(instance))

    instance.wait_until(is_looked_after, "the jobs of the dead worker are looked after")


@pytest.mark.timeout(900)
def test_a_batch_whose_worker_is_killed_again_and_again_is_done_exactly_once(instance: RunningInstance) -> None:
    """Every kill blames one dataset; every other that was begun says that its batch ended, and goes on in another."""
    sources = [put_in(instance, number) for number in range(_FILES)]
    for _ in range(_KILLS):
        kill_in_the_middle(instance)
    instance.wait_until(lambda: all(job.state is JobState.COMPLETED for job in newest(instance)), "all are completed")
    instance.wait_until(lambda: instance.ports.catalog.carried_runs() == [], "Dagster is told of everything")
    with dagster_of(instance) as dagster:
        history = read_history(instance.settings, instance.ports, dagster)
    assert complaints_about(history, sources, excused=_EXPLAINED, kills=_KILLS) == []
    codes = Counter(job.error.code for each in history.datasets for job in each.jobs if job.error is not None)
    assert set(codes) <= set(_EXPLAINED)
    assert codes["worker.died"] <= _KILLS
    assert codes["batch.interrupted"] <= _KILLS * _GROUP

"""A process that is killed in the middle leaves nothing half done, wherever it is hit."""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import Engine, event

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.ports.catalog import Catalog, DatasetFilter
from metricfoundry_dagster_tests.port_contracts.catalog.conftest import InChildren
from metricfoundry_dagster_tests.port_contracts.catalog.samples import (
    ERROR,
    LATER,
    NOON,
    add_version,
    begun,
    claim,
    dropped,
    new_dataset,
    product,
    servable,
)

OBJECTS = [dropped(f"{number}") for number in range(5)]
NEW = [new_dataset(f"{number}") for number in range(5)]


def take_everything_in(catalog: Catalog) -> None:
    """All that a sensor does for what was dropped."""
    catalog.look(OBJECTS, NOON)
    if catalog.look(OBJECTS, NOON).complete:
        catalog.register(NEW, NOON)


def killed_at(step: int, work: Callable[[], object]) -> Callable[[], None]:
    """The work, killed just before the database would be told the step-th thing, a commit included."""

    def run() -> None:
        steps = count(1)

        def die_at_step(*_: object) -> None:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", die_at_step)
        event.listen(Engine, "commit", die_at_step)
        work()

    return run


def test_taking_in_can_be_killed_anywhere(catalog: Catalog, in_children: InChildren) -> None:
    """All five are registered or none, and whoever comes next finishes it."""
    counts = set()
    for step in count(1):
        if in_children([killed_at(step, lambda: take_everything_in(catalog))]) == [0]:
            break
        datasets = catalog.datasets(DatasetFilter())
        counts.add(len(datasets))
        assert len(claim(catalog, 100)) + len(catalog.reclaim_jobs(LATER, timedelta(0))) == len(datasets)
    else:
        pytest.fail("unreachable")
    assert counts <= {0, 5}
    assert step > 10
    take_everything_in(catalog)
    assert sorted(dataset.sequence for dataset, _ in catalog.datasets(DatasetFilter())) == [1, 2, 3, 4, 5]
    assert catalog.look(OBJECTS, NOON).complete == []


def test_publishing_and_serving_can_be_killed_anywhere(catalog: Catalog, in_children: InChildren) -> None:
    """Readers see the old state or the new one, and the next try of the same attempt finishes it."""
    attempt = begun(catalog, catalog.register([new_dataset(mode=Mode.APPEND)], NOON)[0])
    staged = product(attempt)
    served = servable(attempt.dataset.dataset_id, mode=Mode.APPEND)

    def work() -> None:
        catalog.publish(staged, attempt.job.job_id, NOON)
        add_version(catalog, served, NOON)

    for step in count(1):
        if in_children([killed_at(step, work)]) == [0]:
            break
        record = catalog.stage(attempt.dataset.dataset_id, staged.stage)
        later = catalog.register([new_dataset("later", mode=Mode.APPEND)], NOON)[0]
        assert catalog.previous_tables(later, staged.stage) == (staged.tables if record else None)
        assert [version.members for version in catalog.versions("sales")] in ([], [(served,)])
    assert [version.number for version in catalog.versions("sales")] == [1]
    assert catalog.job(attempt.job.job_id).progress_percent == 25


def test_opening_a_job_can_be_killed_anywhere(catalog: Catalog, in_children: InChildren) -> None:
    """A run that is started again by the same name has lost nothing, and has one attempt."""
    dataset = catalog.register([new_dataset()], NOON)[0]
    begun(catalog, dataset, "run-1")
    for step in count(1):
        if in_children([killed_at(step, lambda: begun(catalog, dataset, "run-2", parent="run-1"))]) == [0]:
            break
    attempts = sorted(job.attempt for job in catalog.jobs_of(dataset.dataset_id))
    assert attempts == [1, 2]
    assert begun(catalog, dataset, "run-2", parent="run-1").number == 2


def test_replacing_a_job_can_be_killed_anywhere(catalog: Catalog, in_children: InChildren) -> None:
    """A dataset whose lost job was closed always has the job that takes it up again."""
    dataset = catalog.register([new_dataset()], NOON)[0]
    lost = begun(catalog, dataset).job
    for step in count(1):
        if in_children([killed_at(step, lambda: catalog.replace_job(lost.job_id, ERROR, NOON))]) == [0]:
            break
        assert [job.state for job in catalog.jobs_of(dataset.dataset_id)] == [JobState.PROCESSING]
    assert [job.state for job in catalog.jobs_of(dataset.dataset_id)] == [JobState.CREATED, JobState.FAILED]

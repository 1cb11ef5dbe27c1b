"""Writers that die, sleep, are canceled or lose a reply while a real Druid does what they told it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.adapters.druid_parts import DruidParts
from metricfoundry_dagster.domain.datasets import Mode, NewDataset
from metricfoundry_dagster.domain.errors import FencedError, MetricFoundryError, WorldError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Servable, Serving
from metricfoundry_dagster_tests.adapters.druid.conftest import OnDruid
from metricfoundry_dagster_tests.fakes.cutting_proxy import cutting_proxy
from metricfoundry_dagster_tests.fakes.memory_druid import Watched
from metricfoundry_dagster_tests.servers.druid import Druid
from metricfoundry_dagster_tests.servers.druid_serving import TIMEOUTS, parts_on, unused_name
from metricfoundry_dagster_tests.servers.minio import Minio

pytestmark = pytest.mark.servers
LONG = timedelta(days=1)


class DiedError(BaseException):
    """The process ends here."""


def watched(parts: DruidParts, hook: Callable[[str], object]) -> DruidEngine:
    """An engine whose calls the hook is told of before they are made."""
    catalog: Any = Watched(parts.catalog, hook)
    overlord: Any = Watched(parts.overlord, hook)
    return DruidEngine(replace(parts, catalog=catalog, overlord=overlord))


def dying_before(call: str) -> Callable[[str], object]:
    """A hook that ends the process before the first such call."""

    def hook(name: str) -> None:
        if name == call:
            raise DiedError

    return hook


def abandon(on: OnDruid) -> None:
    """Let time pass until nobody waits for the one who died."""
    clock: Any = on.parts.clock
    clock.advance(LONG)


def serve_as_the_flow_does(on: OnDruid, servable: Servable) -> None:
    """Once more after a failure that lies in Druid: on a machine with little room a task is now and then not begun in time."""
    try:
        on.engine.serve(servable)
    except WorldError as error:
        if error.code != "druid.task_failed":
            raise
        on.engine.serve(servable)


@pytest.mark.parametrize("call", ["state", "add_versions", "withdraw"])
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", Mode)
def test_what_a_dead_writer_left_in_druid_is_settled_by_the_next(on_druid: OnDruid, mode: Mode, call: str) -> None:
    """It died while its task ran, when the rows could be seen, or when they were recorded."""
    first = on_druid.servable(1, 10, 11, mode=mode)
    on_druid.engine.serve(first)
    with pytest.raises(DiedError):
        watched(on_druid.parts, dying_before(call)).serve(on_druid.servable(2, 20, mode=mode))
    abandon(on_druid)
    if call == "withdraw":
        on_druid.engine.serve(on_druid.servable(2, 20, mode=mode))
    else:
        on_druid.engine.settle_abandoned()
        assert on_druid.numbers() == [10, 11]
        serve_as_the_flow_does(on_druid, on_druid.servable(2, 20, 21, mode=mode, attempt=2))
    newer = [20] if call == "withdraw" else [20, 21]
    assert on_druid.numbers() == (newer if mode is Mode.REPLACE else [10, 11, *newer])
    assert on_druid.parts.catalog.announcement(on_druid.name) is None


def test_the_same_attempt_goes_on_with_the_task_that_it_posted(on_druid: OnDruid) -> None:
    servable = on_druid.servable(1, 1, 2, mode=Mode.APPEND)
    with pytest.raises(DiedError):
        watched(on_druid.parts, dying_before("row_stats")).serve(servable)
    standing = on_druid.parts.catalog.announcement(on_druid.name)
    submitted: list[str] = []
    watched(on_druid.parts, submitted.append).serve(servable)
    assert "submit" not in submitted
    assert standing is not None
    assert on_druid.numbers() == [1, 2]


def test_a_sleeper_who_posts_late_finds_the_id_of_its_task_used_up(on_druid: OnDruid) -> None:
    asleep, awake = threading.Event(), threading.Event()
    ended: list[object] = []

    def hook(name: str) -> None:
        if name == "submit" and not asleep.is_set():
            asleep.set()
            awake.wait(120)

    def serve() -> None:
        try:
            ended.append(watched(on_druid.parts, hook).serve(on_druid.servable(1, 1, mode=Mode.APPEND)))
        except MetricFoundryError as error:
            ended.append(error)

    sleeper = threading.Thread(target=serve)
    sleeper.start()
    assert asleep.wait(60)
    abandon(on_druid)
    on_druid.engine.serve(on_druid.servable(1, 1, 2, mode=Mode.APPEND, attempt=2))
    awake.set()
    sleeper.join()
    assert isinstance(ended[0], FencedError)
    assert on_druid.numbers() == [1, 2]
    assert on_druid.parts.catalog.announcement(on_druid.name) is None


def registered(on: OnDruid, sequence: int, *values: int, mode: Mode = Mode.APPEND) -> tuple[Servable, str]:
    """A dataset that the catalog knows, and the id of its job, which is processing."""
    catalog: Any = on.parts.catalog
    servable = on.servable(sequence, *values, mode=mode)
    now = on.parts.clock.now()
    new = NewDataset(servable.dataset_id, on.name, on.name, mode, f"file:///{sequence}", "1", "a.csv", 1)
    catalog.register([new], now)
    attempt = catalog.open_job(servable.dataset_id, f"run-{sequence}", None, None, now)
    return servable, attempt.job.job_id


def test_a_canceled_job_takes_its_task_and_rows_with_it(on_druid: OnDruid) -> None:
    catalog: Any = on_druid.parts.catalog
    servable, job_id = registered(on_druid, 1, 1, 2)

    def hook(name: str) -> None:
        if name == "state":
            catalog.close_job(job_id, JobState.CANCELED, None, on_druid.parts.clock.now())

    with pytest.raises(FencedError):
        watched(on_druid.parts, hook).serve(servable)
    assert on_druid.rows() == {}
    assert catalog.announcement(on_druid.name) is None
    assert on_druid.parts.overlord.running_tasks(on_druid.name) == []


def test_an_interrupt_ends_the_task_of_a_canceled_job_and_leaves_that_of_another(on_druid: OnDruid) -> None:
    catalog: Any = on_druid.parts.catalog
    servable, job_id = registered(on_druid, 1, 1, 2)
    with pytest.raises(DiedError):
        watched(on_druid.parts, dying_before("row_stats")).serve(servable)
    standing = catalog.announcement(on_druid.name)
    assert standing is not None, "who is interrupted with its job going on is tried again"

    def interrupt(name: str) -> None:
        if name == "row_stats":
            catalog.close_job(job_id, JobState.CANCELED, None, on_druid.parts.clock.now())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(on_druid.parts, interrupt).serve(servable)
    assert catalog.announcement(on_druid.name) is None
    assert on_druid.rows() == {}


@pytest.mark.parametrize(("mode", "canceled", "left"), [(Mode.APPEND, 1, [1, 3, 3, 3]), (Mode.REPLACE, 2, [2, 2])])
def test_one_of_a_batch_that_is_canceled_at_the_last_moment_is_written_out_of_the_batch(
    on_druid: OnDruid, mode: Mode, canceled: int, left: list[int]
) -> None:
    """Of an appended batch the others' rows stay; in place of a newest one the one before it comes into Druid."""
    catalog: Any = on_druid.parts.catalog
    datasets = [registered(on_druid, number, *[number] * number, mode=mode) for number in (1, 2, 3)]

    def hook(name: str) -> None:
        if name == "add_versions":
            catalog.close_job(datasets[canceled][1], JobState.CANCELED, None, on_druid.parts.clock.now())

    outcomes = watched(on_druid.parts, hook).serve_all([servable for servable, _ in datasets])
    assert [isinstance(outcome, Serving) for outcome in outcomes] == [number != canceled for number in range(3)]
    assert on_druid.numbers() == left
    assert catalog.announcement(on_druid.name) is None


def test_a_batch_is_one_task_and_a_newer_attempt_of_one_of_it_is_swapped_in(on_druid: OnDruid) -> None:
    posted: list[str] = []
    batch = [on_druid.servable(number, *[number] * number, mode=Mode.APPEND) for number in range(1, 8)]
    watched(on_druid.parts, lambda name: posted.append(name) if name == "submit" else None).serve_all(batch)
    assert posted == ["submit"]
    assert on_druid.rows() == {servable.dataset_id: servable.sequence for servable in batch}
    on_druid.engine.serve(on_druid.servable(4, 40, mode=Mode.APPEND, attempt=2))
    assert on_druid.rows() == {servable.dataset_id: 1 if servable.sequence == 4 else servable.sequence for servable in batch}
    on_druid.engine.rollback(on_druid.name)
    assert on_druid.rows() == {servable.dataset_id: servable.sequence for servable in batch}


@pytest.mark.parametrize("path", ["/druid/indexer/v1/task", "/druid/indexer/v1/datasources"])
def test_a_lost_reply_neither_doubles_nor_loses_rows(druid: Druid, minio: Minio, tmp_path: Path, path: str) -> None:
    """The reply to the task, and to marking the old segments: both were done, and are asked for again."""
    with cutting_proxy(druid.overlord_url, path) as proxy, parts_on(druid, minio, tmp_path, overlord_url=proxy.url) as parts:
        on = OnDruid(parts, unused_name())
        on.engine.serve(on.servable(1, 1, 2))
        on.engine.serve(on.servable(2, 3))
        assert on.numbers() == [3]
        assert proxy.cut == 1


def test_a_task_that_takes_too_long_is_shut_down_and_leaves_nothing(on_druid: OnDruid) -> None:
    hasty = replace(on_druid.parts, timeouts=replace(TIMEOUTS, task_seconds=0))
    servable = on_druid.servable(1, 1)
    with pytest.raises(MetricFoundryError, match=r"druid\.task_failed"):
        DruidEngine(hasty).serve(servable)
    assert on_druid.rows() == {}
    on_druid.engine.serve(servable)
    assert on_druid.numbers() == [1]

"""The event log of a run worker: the same log as Dagster's own writes, with less ado, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.test_utils import create_run_for_test

from metricfoundry_dagster.orchestration.worker_instance import make_worker_instance
from metricfoundry_dagster.orchestration.worker_storage import WorkerEventLog
from metricfoundry_dagster_tests.orchestration.launching import Launching, launching

_ASSET, _PARTITION = dg.AssetKey("numbers"), "one"
_DATA_VERSION = "dagster/data_version"
_NUMBERS = dg.AssetRecordsFilter(_ASSET, asset_partitions=[_PARTITION])


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launching]:
    """A DAGSTER_HOME whose storage is made, as whoever launches runs finds it."""
    url = request.getfixturevalue("postgresql").create_database() if request.param == "postgresql" else None
    with launching(tmp_path / "dagster", url) as home:
        yield home


@pytest.fixture
def worker(home: Launching) -> Iterator[dg.DagsterInstance]:
    """The same instance, as a run worker opens it."""
    with make_worker_instance(home.home) as instance:
        yield instance


def numbers_job() -> dg.JobDefinition:
    """Two assets with a check each, one on top of the other."""

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition([_PARTITION]),
        check_specs=[dg.AssetCheckSpec("holds", asset="numbers")],
        dagster_type=dg.Any,
    )
    def numbers() -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows the bare class only
        return dg.MaterializeResult(value=[1, 2], check_results=[dg.AssetCheckResult(passed=True)])

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([_PARTITION]))
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    return dg.Definitions(
        assets=[numbers, total],
        jobs=[dg.define_asset_job("numbers_job", executor_def=dg.in_process_executor)],
        resources={"io_manager": dg.mem_io_manager},
    ).resolve_job_def("numbers_job")


def run_numbers(instance: dg.DagsterInstance) -> str:
    """Run the job once; its run's id."""
    result = numbers_job().execute_in_process(instance=instance, partition_key=_PARTITION)
    assert result.success
    return result.run_id


def log_of(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, str | None]]:
    """What the log tells, in order."""
    events = [entry.dagster_event for entry in instance.all_logs(run_id)]
    return [(event.event_type_value, event.step_key) for event in events if event is not None]


def report(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: str) -> None:
    """An event that says nothing but its kind."""
    told = EngineEventData() if kind != "STEP_START" else None
    event = dg.DagsterEvent(event_type_value=kind, job_name=run.job_name, message=kind, event_specific_data=told)
    instance.report_dagster_event(event, run_id=run.run_id)


def test_the_log_of_a_worker_is_the_one_that_dagster_writes(home: Launching, worker: dg.DagsterInstance) -> None:
    with dg.DagsterInstance.ephemeral() as plain:
        expected = log_of(plain, run_numbers(plain))
    run_id = run_numbers(worker)
    assert log_of(worker, run_id) == expected
    assert log_of(home.instance, run_id) == expected
    assert len(expected) > 20


def test_events_that_wait_are_written_with_the_next_that_does_not(home: Launching, worker: dg.DagsterInstance) -> None:
    """Only what tells of a step's inside waits; whoever looks sees a step begin when it begins."""
    run = create_run_for_test(worker)
    seen = []
    for kind in ("RESOURCE_INIT_STARTED", "STEP_START", "RESOURCE_INIT_SUCCESS", "RESOURCE_INIT_SUCCESS", "ENGINE_EVENT"):
        report(worker, run, kind)
        seen.append([kind for kind, _ in log_of(home.instance, run.run_id)])
    begun = ["RESOURCE_INIT_STARTED", "STEP_START"]
    assert seen == [[], begun, begun, begun, [*begun, "RESOURCE_INIT_SUCCESS", "RESOURCE_INIT_SUCCESS", "ENGINE_EVENT"]]


@pytest.mark.parametrize("asked", ["by the worker", "after it has closed its instance"])
def test_what_waits_is_there_when_it_is_asked_for(home: Launching, asked: str) -> None:
    with ExitStack() as stack:
        worker = stack.enter_context(make_worker_instance(home.home))
        run = create_run_for_test(worker)
        report(worker, run, "RESOURCE_INIT_STARTED")
        if asked == "by the worker":
            assert log_of(worker, run.run_id) == [("RESOURCE_INIT_STARTED", None)]
        else:
            stack.close()
            assert log_of(home.instance, run.run_id) == [("RESOURCE_INIT_STARTED", None)]


def test_the_last_materialization_is_the_one_that_this_worker_stored(worker: dg.DagsterInstance) -> None:
    assert isinstance(worker.event_log_storage, WorkerEventLog)
    assert not worker.fetch_materializations(_NUMBERS, limit=1).records
    for _ in range(2):
        run_id = run_numbers(worker)
        [record] = worker.fetch_materializations(_NUMBERS, limit=1).records
        assert record.run_id == run_id


def test_what_a_worker_remembers_of_its_materializations_is_what_the_storage_tells(
    home: Launching, worker: dg.DagsterInstance
) -> None:
    run_numbers(worker)
    remembered, stored = (
        (
            log.fetch_materializations(_NUMBERS, limit=1),
            log.get_latest_tags_by_partition(_ASSET, dg.DagsterEventType.ASSET_MATERIALIZATION, [_DATA_VERSION], [_PARTITION]),
            [record.asset_entry.last_materialization_record for record in log.get_asset_records([_ASSET])],
        )
        for log in (worker.event_log_storage, home.instance.event_log_storage)
    )
    assert remembered == stored
    assert remembered[1][_PARTITION][_DATA_VERSION]


def test_a_step_knows_the_data_version_of_what_it_was_made_from(home: Launching, worker: dg.DagsterInstance) -> None:
    run_numbers(worker)
    made_from = home.instance.fetch_materializations(_NUMBERS, limit=1).records[0]
    total = dg.AssetRecordsFilter(dg.AssetKey("total"), asset_partitions=[_PARTITION])
    made = home.instance.fetch_materializations(total, limit=1).records[0].asset_materialization
    assert made
    assert made.tags
    assert made.tags["dagster/input_event_pointer/numbers"] == str(made_from.storage_id)
    assert made.tags["dagster/input_data_version/numbers"]


def test_only_the_last_materialization_of_one_partition_is_kept(home: Launching, worker: dg.DagsterInstance) -> None:
    """Asked in any other way, the worker sees what others have stored."""
    first = run_numbers(worker)
    assert [record.run_id for record in worker.fetch_materializations(_NUMBERS, limit=1).records] == [first]
    second = run_numbers(home.instance)
    found = {
        "kept": worker.fetch_materializations(_NUMBERS, limit=1),
        "more than one": worker.fetch_materializations(_NUMBERS, limit=2),
        "any partition": worker.fetch_materializations(_ASSET, limit=1),
        "the oldest": worker.fetch_materializations(_NUMBERS, limit=1, ascending=True),
        "from a time on": worker.fetch_materializations(_NUMBERS._replace(after_timestamp=0.0), limit=1),
    }
    assert {name: [record.run_id for record in result.records] for name, result in found.items()} == {
        "kept": [first],
        "more than one": [second, first],
        "any partition": [second],
        "the oldest": [first],
        "from a time on": [second],
    }

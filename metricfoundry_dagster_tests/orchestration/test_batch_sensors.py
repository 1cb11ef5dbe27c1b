"""Batches as the sensors see them: gathered, asked for once, looked after when their worker died, told of late."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType
from dagster._core.test_utils import create_run_for_test

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.layout import attempt_manifest_key
from metricfoundry_dagster.domain.products import Root, Stage
from metricfoundry_dagster.orchestration.batch_events import tell
from metricfoundry_dagster.orchestration.batch_job import BATCH_JOB, batch_job, batch_run
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.orchestration.resources import ports_resource
from metricfoundry_dagster.orchestration.sensors import drop_zone_sensor, lost_jobs_sensor
from metricfoundry_dagster.pipeline.batch_flow import Taken, what_was_made
from metricfoundry_dagster.pipeline.flow import take_through
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import BATCH_ID_TAG
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster_tests.embedded import (
    GOOD_CSV,
    embedded_ports,
    embedded_settings,
    progress_of,
    register,
    write_source,
)

_TOLD = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an instance in a folder of this test; claims without a run are lost at once."""
    return embedded_settings(tmp_path).model_copy(update={"batch_min_datasets": 3, "job_lost_after_seconds": 0.0})


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports on that instance."""
    return embedded_ports(tmp_path)


def waiting(ports: Ports, folder: Path, contents: list[str]) -> list[Job]:
    """Registered files, appended to one datasource."""
    paths = [write_source(folder, f"{number}.csv", content) for number, content in enumerate(contents)]
    return [register(ports, path, datasource="people", mode=Mode.APPEND) for path in paths]


def look_for_work(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> dg.SensorResult:
    """The first tick of the drop zone's sensor."""
    return next(ticks(settings, ports, instance))


def ticks(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> Iterator[dg.SensorResult]:
    """Ticks of the drop zone's sensor, each going on where the one before stood."""
    definitions = build_definitions(settings=settings, make_ports=lambda: ports)
    sensor = drop_zone_sensor(settings, batch_job(ports_resource(lambda: ports)))
    cursor = None
    while True:
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, definitions=definitions, resources={"ports": ports}
        ) as context:
            result = sensor(context)
            cursor = context.cursor
        assert isinstance(result, dg.SensorResult)
        yield result


def look_for_lost(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """One tick of the sensor of lost jobs."""
    with dg.build_sensor_context(instance=instance, resources={"ports": ports}) as context:
        lost_jobs_sensor(settings)(context)


def died(ports: Ports, instance: dg.DagsterInstance, jobs: list[Job]) -> dg.DagsterRun:
    """A run that failed, which carried these jobs as a batch and took them through without a word to Dagster."""
    run: dg.DagsterRun = create_run_for_test(instance, job_name=BATCH_JOB, status=dg.DagsterRunStatus.FAILURE)
    ports.catalog.claim_jobs({job.job_id: "batch-1" for job in jobs}, ports.clock.now())
    named = [(job.dataset_id, job.job_id) for job in jobs]
    for attempt in ports.catalog.open_jobs(named, run.run_id, None, ports.clock.now()):
        assert not isinstance(attempt, Exception)
        take_through(attempt, ports, progress_of(ports, attempt))
    return run


def told(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[tuple[str | None, str]]:
    """What the run's log tells, as partition and kind, without the order."""
    events = [record.get_dagster_event() for record in instance.all_logs(run.run_id, of_type=_TOLD)]
    partitions = [
        event.asset_check_evaluation_data.partition
        if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION
        else event.partition
        for event in events
    ]
    return sorted(zip(partitions, (event.event_type_value for event in events), strict=True))


def test_what_waits_together_is_asked_for_as_one_run(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    jobs = waiting(ports, tmp_path, [GOOD_CSV] * 3)
    result = look_for_work(settings, ports, instance)
    [request] = result.run_requests or []
    assert request.job_name == BATCH_JOB
    assert request.tags[BATCH_ID_TAG] == request.run_key == ports.catalog.job(jobs[0].job_id).batch_id
    [added] = result.dynamic_partitions_requests or []
    assert list(added.partition_keys) == sorted(job.dataset_id for job in jobs)


def test_a_sensor_that_died_after_claiming_a_batch_neither_loses_nor_doubles_it(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Without a run the same batch is asked for again under the same key; with one it is only noted."""
    jobs = waiting(ports, tmp_path, [GOOD_CSV] * 3)
    first, second = (look_for_work(settings, ports, instance).run_requests or [] for _ in range(2))
    assert [(r.run_key, r.run_config) for r in first] == [(r.run_key, r.run_config) for r in second]
    run = create_run_for_test(instance, job_name=BATCH_JOB, tags={BATCH_ID_TAG: str(first[0].run_key)})
    assert not look_for_work(settings, ports, instance).run_requests
    assert {ports.catalog.job(job.job_id).run_id for job in jobs} == {run.run_id}


def test_ten_thousand_small_files_become_twenty_runs(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """In the ticks that it takes to register them, and two more."""
    folder = Path(settings.uploads_root) / "incoming" / "many"
    folder.mkdir(parents=True)
    for number in range(10_000):
        (folder / f"{number:05}.csv").write_text("a\n1\n")
    patient = settings.model_copy(update={"job_lost_after_seconds": 3_600.0})
    looks = islice(ticks(patient, ports, instance), 10_000 // settings.max_registrations_per_tick + 2)
    requests = [request for look in looks for request in look.run_requests or []]
    assert {request.job_name for request in requests} == {BATCH_JOB}
    assert len(requests) == 20


def test_the_jobs_of_a_batch_that_died_wait_again(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """One is suspected and goes alone, the other two are too few for a batch."""
    jobs = waiting(ports, tmp_path, [GOOD_CSV] * 3)
    ports.catalog.claim_jobs({job.job_id: "batch-1" for job in jobs}, ports.clock.now())
    run = create_run_for_test(instance, job_name=BATCH_JOB, status=dg.DagsterRunStatus.FAILURE)
    named = [(job.dataset_id, job.job_id) for job in jobs]
    [first, *_] = ports.catalog.open_jobs(named, run.run_id, None, ports.clock.now())
    assert not isinstance(first, Exception)
    progress_of(ports, first).report(Stage.RAW_OBJECT, 0.0)
    look_for_lost(settings, ports, instance)
    newest = [ports.catalog.jobs_of(job.dataset_id)[0] for job in jobs]
    assert [(job.state, job.batch_limit) for job in newest] == [
        (JobState.CREATED, 1),
        (JobState.CREATED, None),
        (JobState.CREATED, None),
    ]
    assert len(look_for_work(settings, ports, instance).run_requests or []) == 3


def test_what_a_dead_batch_did_is_told_late_and_once(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Five materializations and seven checks of the one that was served; of the other, where it stopped and why."""
    good, bad = waiting(ports, tmp_path, [GOOD_CSV, "id,name,amount\n"])
    run = died(ports, instance, [good, bad])
    assert told(instance, run) == []
    look_for_lost(settings, ports, instance)
    expected = sorted(
        [(good.dataset_id, "ASSET_MATERIALIZATION")] * 5
        + [(good.dataset_id, "ASSET_CHECK_EVALUATION")] * 7
        + [(bad.dataset_id, "ASSET_MATERIALIZATION")]
        + [(bad.dataset_id, "ASSET_CHECK_EVALUATION")] * 2
        + [(bad.dataset_id, "ASSET_MATERIALIZATION_PLANNED")]
    )
    assert told(instance, run) == expected
    assert ports.catalog.carried_runs() == []
    look_for_lost(settings, ports, instance)
    assert told(instance, run) == expected


def test_what_was_told_before_the_worker_died_is_not_told_again(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """It died between the event log and the catalog's note of it."""
    jobs = waiting(ports, tmp_path, [GOOD_CSV] * 2)
    run = died(ports, instance, jobs)
    first: Taken = what_was_made(ports.catalog.job(jobs[0].job_id), ports)
    tell([first], batch_run(run), instance, ports)
    look_for_lost(settings, ports, instance)
    assert [kind for _, kind in told(instance, run)].count("ASSET_MATERIALIZATION") == 10


def test_what_is_left_of_a_dead_batch_is_told_when_a_bucket_was_tidied_meanwhile(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """A manifest of one dataset is gone, and a part of the other: the rest is told, once, and nothing waits for them."""
    jobs = waiting(ports, tmp_path, [GOOD_CSV] * 2)
    run = died(ports, instance, jobs)
    ports.store.delete(Root.ARTIFACTS, attempt_manifest_key(jobs[0].dataset_id, Stage.RAW_OBJECT, 1))
    ended = ports.catalog.job(jobs[1].job_id)
    [part] = next(each for each in what_was_made(ended, ports).products if each.stage is Stage.STAGED_PARQUET).files_of("part")
    ports.store.delete(part.root, part.key)
    look_for_lost(settings, ports, instance)
    assert [kind for _, kind in told(instance, run)].count("ASSET_MATERIALIZATION") == 9
    assert ports.catalog.carried_runs() == []


def test_a_batch_whose_run_was_deleted_is_told_of_no_more(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = died(ports, instance, waiting(ports, tmp_path, [GOOD_CSV]))
    instance.delete_run(run.run_id)
    look_for_lost(settings, ports, instance)
    assert ports.catalog.carried_runs() == []

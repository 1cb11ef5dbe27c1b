"""The sensors on a real catalog, a real drop zone and an ephemeral instance."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest

from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.orchestration.batch_job import batch_job
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.orchestration.resources import ports_resource
from metricfoundry_dagster.orchestration.sensors import drop_zone_sensor, lost_jobs_sensor
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import Catalog, DatasetFilter
from metricfoundry_dagster.ports.runs import JOB_ID_TAG
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster_tests.embedded import GOOD_CSV, embedded_ports, embedded_settings, open_job, register, write_source
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an instance in a folder of this test."""
    return embedded_settings(tmp_path)


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports on that instance."""
    return embedded_ports(tmp_path)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def drop(settings: Settings, name: str, content: str = GOOD_CSV) -> Path:
    """Put a file into the drop zone."""
    path = Path(settings.uploads_root) / "incoming" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def tick(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, cursors: list[str | None] | None = None
) -> dg.SensorResult:
    """One tick of the drop zone's sensor; partitions are added, and the cursor is kept, as the daemon would."""
    cursors = [None] if cursors is None else cursors
    definitions = build_definitions(settings=settings, make_ports=lambda: ports)
    with dg.build_sensor_context(
        instance=instance, definitions=definitions, resources={"ports": ports}, cursor=cursors[-1]
    ) as context:
        result = drop_zone_sensor(settings, batch_job(ports_resource(lambda: ports)))(context)
        cursors.append(context.cursor)
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("datasets", list(request.partition_keys))
    return result


def look_for_lost(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """One tick of the sensor of lost jobs."""
    with dg.build_sensor_context(instance=instance, resources={"ports": ports}) as context:
        assert isinstance(lost_jobs_sensor(settings)(context), dg.SkipReason)


def keys(result: dg.SensorResult) -> list[str]:
    """The datasources of the requested runs."""
    return sorted(str(request.partition_key).partition("--")[0] for request in result.run_requests or [])


def test_an_object_is_taken_at_the_second_look(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """Once; a third look finds nothing new."""
    drop(settings, "people/a.csv")
    assert [keys(tick(settings, ports, instance)) for _ in range(3)] == [[], ["people"], []]


def test_an_object_still_being_written_waits(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """As long as it changes between looks, and as long as its name says so."""
    path = drop(settings, "people/a.csv", "id\n")
    drop(settings, "people/b.csv.part")
    for number in range(3):
        assert keys(tick(settings, ports, instance)) == []
        path.write_text("id\n" + "1\n" * (number + 1))
    tick(settings, ports, instance)
    assert keys(tick(settings, ports, instance)) == ["people"]


def test_an_overwritten_object_is_a_new_dataset(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """The old one stays what it was."""
    path = drop(settings, "people/a.csv")
    results = [tick(settings, ports, instance) for _ in range(2)]
    path.write_text("id,name,amount\n9,Zoe,1.5\n")
    results += [tick(settings, ports, instance) for _ in range(2)]
    requested = [request.partition_key for result in results for request in result.run_requests or []]
    assert len(requested) == len(set(requested)) == 2


def test_an_object_with_an_old_time_is_found(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """`mv` and `cp -p` keep times from before the last look."""
    drop(settings, "people/first.csv")
    for _ in range(2):
        tick(settings, ports, instance)
    moved = drop(settings, "people/moved.csv")
    os.utime(moved, (946_684_800, 946_684_800))
    tick(settings, ports, instance)
    assert keys(tick(settings, ports, instance)) == ["people"]


def test_ten_thousand_objects_fit_bounded_ticks(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """Each tick registers and requests a bounded number, and in the end all are registered once."""
    folder = Path(settings.uploads_root) / "incoming" / "many"
    folder.mkdir(parents=True)
    for number in range(10_000):
        (folder / f"{number:05}.csv").write_text("a\n1\n")
    cursors: list[str | None] = [None]
    tick(settings, ports, instance, cursors)
    for _ in range(10_000 // settings.max_registrations_per_tick):
        result = tick(settings, ports, instance, cursors)
        assert len(result.run_requests or []) <= settings.max_runs_per_tick
    listed = ports.catalog.datasets(DatasetFilter(datasource="many", limit=20_000))
    assert len({dataset.source_uri for dataset, _ in listed}) == len(listed) == 10_000


def test_a_crash_after_registering_loses_nothing(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The tick died before it could request a run: the next one requests it."""
    job = register(ports, write_source(tmp_path))
    assert [request.run_key for request in tick(settings, ports, instance).run_requests or []] == [job.job_id]


def test_a_crash_after_claiming_neither_loses_nor_doubles(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Without a run the job is requested again under the same run key; with one it is only noted."""
    impatient = settings.model_copy(update={"job_lost_after_seconds": 0.0})
    job = register(ports, write_source(tmp_path))
    first, second = (tick(impatient, ports, instance) for _ in range(2))
    assert [r.run_key for r in first.run_requests or []] == [r.run_key for r in second.run_requests or []] == [job.job_id]
    run = instance.create_run_for_job(
        build_definitions(settings=settings, make_ports=lambda: ports).resolve_job_def("dataset_job"),
        tags={JOB_ID_TAG: job.job_id},
    )
    assert not tick(impatient, ports, instance).run_requests
    assert ports.catalog.job(job.job_id).run_id == run.run_id


def test_a_name_that_cannot_be_used_holds_up_no_other(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> None:
    """Two names with one slug: the first keeps it, the second is refused and told of."""
    drop(settings, "people/a.csv")
    for _ in range(2):
        tick(settings, ports, instance)
    drop(settings, "Peop-le/b.csv")
    drop(settings, "PEOPLE!/b.csv")
    drop(settings, "planes/b.csv")
    tick(settings, ports, instance)
    assert "planes" in keys(tick(settings, ports, instance))


def test_a_job_whose_run_is_gone_is_taken_up_again(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The sensor closes it as died, and the other sensor submits its successor."""
    attempt = open_job(ports, register(ports, write_source(tmp_path)))
    look_for_lost(settings, ports, instance)
    lost = ports.catalog.job(attempt.job.job_id)
    assert lost.error is not None
    assert (lost.state, lost.error.code) == (JobState.FAILED, "worker.died")
    assert len(tick(settings, ports, instance).run_requests or []) == 1


def test_a_run_that_cannot_be_looked_after_keeps_no_other_waiting(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """It is told of by the failing tick, and every other dead worker is noticed in the same one."""
    attempts = [
        open_job(ports, register(ports, write_source(tmp_path, f"{name}.csv"), datasource=name)) for name in ("a", "b", "c")
    ]
    stubborn = min(attempts, key=lambda attempt: str(attempt.job.run_id)).job
    without_one = replace(ports, catalog=cast(Catalog, StubbornCatalog(ports, str(stubborn.run_id))))
    with (
        pytest.raises(WorldError, match=r"catalog\.unreachable"),
        dg.build_sensor_context(instance=instance, resources={"ports": without_one}) as context,
    ):
        lost_jobs_sensor(settings)(context)
    states = {attempt.job.job_id: ports.catalog.job(attempt.job.job_id).state for attempt in attempts}
    assert states.pop(stubborn.job_id) is JobState.PROCESSING
    assert set(states.values()) == {JobState.FAILED}


class StubbornCatalog:
    """The real catalog, but for the jobs of one run."""

    def __init__(self, ports: Ports, run_id: str) -> None:
        self._catalog, self._run_id = ports.catalog, run_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    def jobs_of_run(self, run_id: str) -> list[Job]:
        """Refuse those of one run."""
        if run_id == self._run_id:
            raise WorldError("catalog.unreachable", "not these")
        return list(self._catalog.jobs_of_run(run_id))


def test_a_process_that_has_not_recorded_its_run_yet_is_given_time(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """`ingest` notes the run id seconds before its child tells Dagster of the run; after a while it counts as dead."""
    job = register(ports, write_source(tmp_path))
    ports.catalog.claim_job(job.job_id, ports.clock.now())
    ports.catalog.attach_run(job.job_id, "a run of a child")
    look_for_lost(settings, ports, instance)
    assert ports.catalog.job(job.job_id).state is JobState.QUEUED
    look_for_lost(settings.model_copy(update={"job_lost_after_seconds": 0.0}), ports, instance)
    assert ports.catalog.job(job.job_id).state is JobState.FAILED


def test_a_drop_zone_that_is_away_does_not_hold_up_what_waits(
    settings: Settings, ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The waiting job gets its run; a tick with nothing to start shows the failure."""
    job = register(ports, write_source(tmp_path))
    store = MemoryStore()
    store.away = True
    without_store = replace(ports, store=store)
    assert [request.run_key for request in tick(settings, without_store, instance).run_requests or []] == [job.job_id]
    with pytest.raises(WorldError, match=r"store\.unreachable"):
        tick(settings, without_store, instance)

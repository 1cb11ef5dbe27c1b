"""What a run of one dataset did and could not say is told by the sensor of lost jobs, once."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType
from dagster._core.test_utils import create_run_for_test

from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.asset_checks import GATES, WARNINGS
from metricfoundry_dagster.orchestration.batch_events import EventsOfRun, evaluation_entries, materialization_entry
from metricfoundry_dagster.orchestration.sensors import lost_jobs_sensor
from metricfoundry_dagster.pipeline.batch_flow import what_was_made
from metricfoundry_dagster.pipeline.flow import take_through
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import embedded_ports, embedded_settings, progress_of, register, write_source

_KINDS = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION}
_CHECKS = sorted([check.name for check in GATES.values()] + [check.name for check, _ in WARNINGS.values()])


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


def serve_without_a_word(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> tuple[Job, dg.DagsterRun]:
    """A job that was completed by a run which failed, as one does whose event log is away by then."""
    run = create_run_for_test(instance, job_name="dataset_job", status=dg.DagsterRunStatus.FAILURE)
    waiting = register(ports, write_source(tmp_path))
    attempt = ports.catalog.open_job(waiting.dataset_id, run.run_id, waiting.job_id, None, ports.clock.now())
    take_through(attempt, ports, progress_of(ports, attempt))
    job = ports.catalog.job(waiting.job_id)
    assert job.state is JobState.COMPLETED
    return job, run


def look_for_lost(tmp_path: Path, ports: Ports, instance: dg.DagsterInstance) -> None:
    """One tick."""
    with dg.build_sensor_context(instance=instance, resources={"ports": ports}) as context:
        lost_jobs_sensor(embedded_settings(tmp_path))(context)


def told(instance: dg.DagsterInstance, job: Job, run: dg.DagsterRun) -> tuple[list[str], list[str]]:
    """The assets and checks of which the run tells, each as often as it does; all of this partition, all passed."""
    events = [record.get_dagster_event() for record in instance.all_logs(run.run_id, of_type=_KINDS)]
    made = [event for event in events if event.event_type is DagsterEventType.ASSET_MATERIALIZATION]
    evaluations = [event.asset_check_evaluation_data for event in events if event not in made]
    assert {event.partition for event in made} | {each.partition for each in evaluations} <= {job.dataset_id}
    assert all(each.passed for each in evaluations)
    return [event.asset_key.to_user_string() for event in made if event.asset_key], sorted(
        each.check_name for each in evaluations
    )


def test_a_served_dataset_of_which_nothing_was_told_is_told_of_once(
    ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Five materializations and every check, however often the sensor looks."""
    job, run = serve_without_a_word(ports, instance, tmp_path)
    assert told(instance, job, run) == ([], [])
    for _ in range(2):
        look_for_lost(tmp_path, ports, instance)
        assert told(instance, job, run) == ([stage.value for stage in Stage], _CHECKS)
    for stage in Stage:
        assert instance.get_materialized_partitions(dg.AssetKey(stage.value)) == {job.dataset_id}


def test_only_what_is_missing_is_told(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The last check alone, when the database went away between it and its materialization."""
    job, run = serve_without_a_word(ports, instance, tmp_path)
    for product in what_was_made(job, ports).products:
        events = EventsOfRun(run.run_id, run.job_name, product.stage.value)
        instance.handle_new_event(materialization_entry(product, events, ports))
        for entry in evaluation_entries(product, None, events) if product.stage is not Stage.DRUID_DATASOURCE else ():
            instance.handle_new_event(entry)
    assert "rows_served" not in told(instance, job, run)[1]
    look_for_lost(tmp_path, ports, instance)
    assert told(instance, job, run) == ([stage.value for stage in Stage], _CHECKS)


def test_a_run_that_ended_well_is_believed(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """And looked at once only: nothing is left to be said of its job."""
    job, run = serve_without_a_word(ports, instance, tmp_path)
    instance.run_storage.delete_run(run.run_id)
    create_run_for_test(instance, job_name="dataset_job", run_id=run.run_id, status=dg.DagsterRunStatus.SUCCESS)
    assert [each.run_id for each in ports.catalog.carried_runs()] == [run.run_id]
    look_for_lost(tmp_path, ports, instance)
    assert told(instance, job, run) == ([], [])
    assert ports.catalog.carried_runs() == []

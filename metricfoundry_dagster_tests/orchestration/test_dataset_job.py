"""The job through Dagster itself, on an ephemeral instance over real ports."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster._core.events import DagsterEventType

from metricfoundry_dagster.domain.datasets import random_dataset_id
from metricfoundry_dagster.domain.errors import FencedError, MetricFoundryError, WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.domain.served import Servable
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster.ports.runs import JOB_ID_TAG
from metricfoundry_dagster.ports.serving_engine import ServingEngine
from metricfoundry_dagster_tests.embedded import GOOD_CSV, embedded_ports, embedded_settings, register, write_source


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run_job(
    ports: Ports, instance: dg.DagsterInstance, tmp_path: Path, job: Job | None = None, **options: object
) -> dg.ExecuteInProcessResult:
    """Run `dataset_job` for a job's dataset, as its run would."""
    definitions = build_definitions(settings=embedded_settings(tmp_path), make_ports=lambda: ports)
    key = str(options.pop("key", job.dataset_id if job else ""))
    instance.add_dynamic_partitions("datasets", [key])
    tags = {JOB_ID_TAG: job.job_id} if job else {}
    return definitions.resolve_job_def("dataset_job").execute_in_process(
        instance=instance,
        partition_key=key,
        tags=tags,
        raise_on_error=False,
        **options,  # type: ignore[arg-type] # run_config and asset_selection, as the tests give them
    )


def evaluations(instance: dg.DagsterInstance, run_id: str) -> dict[str, tuple[bool, str | None]]:
    """Each check of a run with its verdict and partition."""
    found = {}
    for record in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        evaluation = record.get_dagster_event().asset_check_evaluation_data
        found[evaluation.check_name] = (evaluation.passed, evaluation.partition)
    return found


def test_five_materializations_with_standard_metadata(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """What the UI reads of each."""
    job = register(ports, write_source(tmp_path))
    result = run_job(ports, instance, tmp_path, job)
    assert result.success
    described = {}
    for event in result.get_asset_materialization_events():
        materialization = event.materialization
        assert materialization.partition == job.dataset_id
        described[materialization.asset_key.to_user_string()] = materialization.metadata
    assert list(described) == [stage.value for stage in Stage]
    assert str(described["raw_object"]["dagster/uri"].value).startswith("file:///")
    assert described["staged_parquet"]["dagster/partition_row_count"].value == 3
    schema = described["staged_parquet"]["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    assert [(column.name, column.type) for column in schema.columns] == [
        ("id", "int64"),
        ("name", "string"),
        ("amount", "double"),
    ]
    assert "| 1 | Ann | 2.5 |" in str(described["staged_parquet"]["preview"].value)
    assert described["druid_datasource"]["dagster/table_name"].value == "people"
    assert str(described["profile_report"]["report"].value).endswith("/report.html")
    ledger = described["staged_parquet"]["ledger"]
    assert isinstance(ledger, dg.TableMetadataValue)
    assert [record.data["rows_in"] for record in ledger.records] == [3]


def test_every_gate_is_recorded_for_its_partition(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Seven checks, all passed, all with the partition."""
    job = register(ports, write_source(tmp_path))
    result = run_job(ports, instance, tmp_path, job)
    found = evaluations(instance, result.run_id)
    assert len(found) == 7
    assert set(found.values()) == {(True, job.dataset_id)}


def test_a_bad_dataset_fails_at_its_gate_and_another_goes_on(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The check carries code and hint; nothing below is materialized."""
    bad = register(ports, write_source(tmp_path, "empty.csv", "id,name\n"))
    good = register(ports, write_source(tmp_path))
    failed = run_job(ports, instance, tmp_path, bad)
    assert not failed.success
    assert evaluations(instance, failed.run_id) == {
        "bytes_intact": (True, bad.dataset_id),
        "rows_reconcile": (False, bad.dataset_id),
    }
    [record, *_] = instance.all_logs(failed.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION)[::-1]
    metadata = record.get_dagster_event().asset_check_evaluation_data.metadata
    assert metadata["code"].value == "staging.too_few_rows"
    assert metadata["hint"].value
    assert run_job(ports, instance, tmp_path, good).success
    assert ports.catalog.job(bad.job_id).state is JobState.FAILED
    assert ports.catalog.job(good.job_id).state is JobState.COMPLETED


def test_materializing_below_a_failed_gate_by_hand_fails(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Dagster would let it pass; the flow does not."""
    bad = register(ports, write_source(tmp_path, "empty.csv", "id,name\n"))
    run_job(ports, instance, tmp_path, bad)
    by_hand = run_job(ports, instance, tmp_path, key=bad.dataset_id, asset_selection=[dg.AssetKey(Stage.VALIDATED_FRAME.value)])
    assert not by_hand.success
    assert not by_hand.get_asset_materialization_events()


def test_a_run_can_bring_its_own_source(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """As programs do through GraphQL: a partition key of their own, and the source in the config of raw_object."""
    key, source = random_dataset_id("people"), write_source(tmp_path)
    config = {"ops": {"raw_object": {"config": {"source_uri": str(source), "datasource": "People"}}}}
    result = run_job(ports, instance, tmp_path, key=key, run_config=config)
    assert result.success
    assert ports.engine.query("SELECT count(*) FROM people", 1).rows == [(3,)]


def test_a_partition_that_nobody_registered_says_what_to_do(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """It is no key error."""
    result = run_job(ports, instance, tmp_path, key=random_dataset_id("people"))
    assert not result.success
    [failure] = [event for event in result.all_node_events if event.is_step_failure]
    assert "dataset.not_found" in str(failure.step_failure_data.user_failure_data)


def test_running_the_job_again_serves_the_rows_once(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """A second run of the same partition is a second attempt."""
    job = register(ports, write_source(tmp_path, content=GOOD_CSV))
    assert run_job(ports, instance, tmp_path, job).success
    assert run_job(ports, instance, tmp_path, key=job.dataset_id).success
    assert [each.attempt for each in ports.catalog.jobs_of(job.dataset_id)] == [2, 1]
    assert ports.engine.query("SELECT count(*) FROM people", 1).rows == [(3,)]


def test_values_that_python_cannot_hold_do_not_fail_the_run(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """A time stamp of the year 20000 is staged, previewed and served."""
    rows = pa.table({"at": pa.array([569_000_000_000_000_000], pa.timestamp("us")), "n": [1]})
    path = tmp_path / "far.parquet"
    pq.write_table(rows, path)
    result = run_job(ports, instance, tmp_path, register(ports, path))
    assert result.success
    assert ports.engine.query("SELECT n FROM far", 1).rows == [(1,)]


def test_a_publish_that_fails_for_good_closes_the_job_with_its_reason(
    ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Nobody takes it for a dead worker: another job of the dataset has begun while the product was made."""
    job = register(ports, write_source(tmp_path))
    fenced = FencedWhilePublishing(ports)
    result = run_job(replace(ports, catalog=cast(Catalog, fenced)), instance, tmp_path, job)
    assert not result.success
    closed = ports.catalog.job(job.job_id)
    assert (closed.state, closed.error and closed.error.code) == (JobState.FAILED, "attempt.fenced")


def test_rows_that_the_engine_miscounts_fail_their_gate(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """No version is recorded, and the UI shows the failed check: no error of its own."""
    job = register(ports, write_source(tmp_path))
    result = run_job(replace(ports, engine=cast(ServingEngine, Miscounting(ports))), instance, tmp_path, job)
    assert not result.success
    assert evaluations(instance, result.run_id)["rows_served"] == (False, job.dataset_id)
    closed = ports.catalog.job(job.job_id)
    assert (closed.state, closed.error and closed.error.code) == (JobState.FAILED, "serving.count_mismatch")


class Miscounting:
    """The real engine, but for serving, which finds fewer rows than were given."""

    def __init__(self, ports: Ports) -> None:
        self._engine = ports.engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def serve_all(self, servables: Sequence[Servable]) -> list[MetricFoundryError]:
        """Refuse each."""
        return [WorldError("serving.count_mismatch", f"{each.datasource}: 1 row was seen") for each in servables]


class FencedWhilePublishing:
    """The real catalog, but for publishing, which finds the attempt fenced."""

    def __init__(self, ports: Ports) -> None:
        self._catalog = ports.catalog

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    def publish(self, product: StageProduct, job_id: str, now: datetime) -> None:
        """Refuse."""
        raise FencedError("attempt.fenced", f"{product.stage} of {job_id} at {now}")

"""The job of a batch through Dagster itself: what the event log, the status cache and GraphQL say of each dataset."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from metricfoundry_dagster.actions.gather import BatchRules
from metricfoundry_dagster.actions.submit_waiting import QueueRules, RunToStart, claim_waiting
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.domain.served import Serving
from metricfoundry_dagster.orchestration.batch_job import batch_request
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.orchestration.stage_runs import CPU_SECONDS
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import BATCH_DATASETS_TAG, BATCH_ID_TAG, JOB_ID_TAG
from metricfoundry_dagster.wiring import build_ports
from metricfoundry_dagster_tests.bad_inputs import BAD_INPUTS, with_bad_inputs
from metricfoundry_dagster_tests.embedded import GOOD_CSV, embedded_settings, register, write_source
from metricfoundry_dagster_tests.fakes.memory_engine import MemoryEngine
from metricfoundry_dagster_tests.servers.postgresql import Postgresql

_STATUSES = """
query ($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode {
      assetPartitionStatuses {
        ... on DefaultPartitionStatuses {
          materializedPartitions failedPartitions materializingPartitions unmaterializedPartitions
        }
      }
    }
  }
}"""


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test, under which the bad files are bad."""
    return build_ports(with_bad_inputs(embedded_settings(tmp_path)))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage of the embedded default, and the one on servers."""
    overrides = {}
    if request.param == "postgresql":
        server: Postgresql = request.getfixturevalue("postgresql")
        url = server.create_database().replace("postgresql://", "postgresql+psycopg2://")
        overrides = {"storage": {"postgres": {"postgres_url": url}}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        yield instance


class LosingEngine(MemoryEngine):
    """Counts one row too few in one datasource."""

    def count_all(self, servings: Sequence[Serving]) -> list[dict[str, int]]:
        counted = super().count_all(servings)
        for serving, counts in zip(servings, counted, strict=True):
            if serving.servable.datasource == "losing":
                counts["losing"] -= 1
        return counted


def add(ports: Ports, folder: Path, name: str, content: str | bytes = GOOD_CSV, datasource: str = "people") -> Job:
    """Register a file, appended to a datasource."""
    return register(ports, write_source(folder, f"{datasource}/{name}", content), datasource=datasource, mode=Mode.APPEND)


def gathered(ports: Ports) -> RunToStart:
    """All that waits, as one batch."""
    queue = QueueRules(10, 10, workers=2, lost_after=timedelta(hours=1))
    [run] = claim_waiting(ports, queue, BatchRules(2, 1_000, 10**9, 10**9, timedelta(0)), lambda _job: None)
    return run


def run_batch(ports: Ports, instance: dg.DagsterInstance, folder: Path, batch: RunToStart) -> dg.ExecuteInProcessResult:
    """Carry the batch as its run would."""
    definitions = build_definitions(settings=embedded_settings(folder), make_ports=lambda: ports)
    request = batch_request(batch)
    instance.add_dynamic_partitions("datasets", [job.dataset_id for job in batch.jobs])
    return definitions.resolve_job_def("dataset_batch").execute_in_process(
        instance=instance, run_config=request.run_config, tags=dict(request.tags), raise_on_error=False
    )


def statuses(instance: dg.DagsterInstance) -> dict[str, dict[str, str]]:
    """What GraphQL, and so the UI, says of each dataset: by dataset, asset and status."""
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="metricfoundry_dagster.definitions"))
    found: dict[str, dict[str, str]] = {}
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget([origin])) as process:
        context = process.create_request_context()
        for stage in Stage:
            answer = execute_dagster_graphql(context, _STATUSES, {"key": {"path": [stage.value]}}).data
            for status, keys in answer["assetNodeOrError"]["assetPartitionStatuses"].items():
                for key in keys:  # what failed is among those not materialized as well, which come last
                    found.setdefault(key, {}).setdefault(stage.value, status.removesuffix("Partitions"))
    return found


def evaluations(instance: dg.DagsterInstance, run_id: str) -> dict[str, dict[str, bool]]:
    """The verdict of each check, by dataset."""
    found: dict[str, dict[str, bool]] = {}
    for record in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        evaluation = record.get_dagster_event().asset_check_evaluation_data
        found.setdefault(str(evaluation.partition), {})[evaluation.check_name] = evaluation.passed
    return found


def until(stage: Stage | None) -> dict[str, str]:
    """The statuses of a dataset that failed at a stage, None for one that was served."""
    stages = list(Stage)
    reached = len(stages) if stage is None else stages.index(stage)
    words = ["materialized"] * reached + ["failed"] * (stage is not None)
    return {each.value: word for each, word in zip(stages, words + ["unmaterialized"] * 5, strict=False)}


def test_the_ui_shows_each_dataset_where_it_stopped(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Good ones materialized, one failed at each stage exactly there, one canceled before it began: nothing in progress."""
    expected = {add(ports, tmp_path, f"good{number}.csv").dataset_id: until(None) for number in range(2)}
    for bad in BAD_INPUTS:
        job = add(ports, tmp_path, bad.filename, bad.content, bad.datasource)
        expected[job.dataset_id] = until(bad.stage)
    expected[add(ports, tmp_path, "losing.csv", datasource="losing").dataset_id] = until(Stage.DRUID_DATASOURCE)
    canceled = add(ports, tmp_path, "canceled.csv")
    expected[canceled.dataset_id] = dict.fromkeys([stage.value for stage in Stage], "unmaterialized")
    batch = gathered(ports)
    ports.catalog.close_job(canceled.job_id, JobState.CANCELED, None, ports.clock.now())
    losing = replace(ports, engine=LosingEngine(ports.catalog, ports.store, ports.clock))
    assert not run_batch(losing, instance, tmp_path, batch).success
    assert statuses(instance) == expected


def test_all_checks_of_all_datasets_are_there_with_their_verdict(
    ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Seven for one that was served; of one that stopped those up to its gate, which says why."""
    good, bad = add(ports, tmp_path, "good.csv"), add(ports, tmp_path, "header.csv", "id,name,amount\n")
    result = run_batch(ports, instance, tmp_path, gathered(ports))
    found = evaluations(instance, result.run_id)
    assert (len(found[good.dataset_id]), set(found[good.dataset_id].values())) == (7, {True})
    assert found[bad.dataset_id] == {"bytes_intact": True, "rows_reconcile": False}
    [execution] = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("staged_parquet"), "rows_reconcile"), limit=1, partition_filter=None
    )
    assert execution.event is not None
    checked = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(dg.AssetKey("druid_datasource"), "rows_served")]
    )
    [latest] = checked.values()
    assert latest.evaluation is not None
    target = latest.evaluation.target_materialization_data
    assert target is not None
    [record] = instance.fetch_materializations(dg.AssetKey("druid_datasource"), limit=1).records
    assert (target.storage_id, latest.evaluation.partition) == (record.storage_id, good.dataset_id)
    assert latest.evaluation.blocking


def test_materializations_say_what_those_of_a_run_of_its_own_say(
    ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The same metadata under the same keys, but for what its stages took: those of a batch are not told apart."""
    alone = add(ports, tmp_path, "alone.csv")
    definitions = build_definitions(settings=embedded_settings(tmp_path), make_ports=lambda: ports)
    instance.add_dynamic_partitions("datasets", [alone.dataset_id])
    of_its_own = definitions.resolve_job_def("dataset_job").execute_in_process(
        instance=instance, partition_key=alone.dataset_id, tags={JOB_ID_TAG: alone.job_id}
    )
    for name in ("a.csv", "b.csv"):
        add(ports, tmp_path, name)
    batch = run_batch(ports, instance, tmp_path, gathered(ports))

    def described(run_id: str) -> dict[str, set[str]]:
        events = instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION)
        made = [event.get_dagster_event().step_materialization_data.materialization for event in events]
        return {each.asset_key.to_user_string(): set(each.metadata) - {CPU_SECONDS} for each in made}

    assert described(batch.run_id) == described(of_its_own.run_id)


def test_ten_in_a_hundred_are_bad_in_ten_ways_and_ninety_are_served_by_one_run(
    ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Each bad one fails with its own error, and can be taken up again alone."""
    good = [add(ports, tmp_path, f"good{number}.csv", GOOD_CSV + f"9,Eve,{number}.5\n") for number in range(90)]
    bad = {add(ports, tmp_path, each.filename, each.content, each.datasource).dataset_id: each for each in BAD_INPUTS}
    batch = gathered(ports)
    result = run_batch(ports, instance, tmp_path, batch)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert (run.tags[BATCH_DATASETS_TAG], run.tags[BATCH_ID_TAG]) == ("100", batch.batch_id)
    states = Counter(ports.catalog.job(job.job_id).state for job in batch.jobs)
    assert states == {JobState.COMPLETED: 90, JobState.FAILED: 10}
    errors = {dataset_id: ports.catalog.jobs_of(dataset_id)[0].error for dataset_id in bad}
    assert {dataset_id: error.code for dataset_id, error in errors.items() if error} == {
        dataset_id: each.code for dataset_id, each in bad.items()
    }
    assert len({each.code for each in bad.values()}) == 10
    rows = ports.engine.query("SELECT _dataset_id, count(*) FROM people GROUP BY 1", 1_000).rows
    assert sorted(rows) == sorted((job.dataset_id, 4) for job in good)
    [failure] = instance.all_logs(result.run_id, of_type=DagsterEventType.STEP_FAILURE)
    error = failure.get_dagster_event().step_failure_data.user_failure_data
    assert error is not None
    assert str(error.description).startswith("10 of 100 datasets stopped, the others are served.")
    assert error.metadata["file.empty"].value == 1


def test_a_batch_without_a_bad_dataset_succeeds(ports: Ports, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    jobs = [add(ports, tmp_path, name) for name in ("a.csv", "b.csv")]
    assert run_batch(ports, instance, tmp_path, gathered(ports)).success
    assert statuses(instance) == {job.dataset_id: until(None) for job in jobs}


def test_one_that_failed_is_retried_alone_and_then_shown_as_made(
    ports: Ports, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """By an ordinary run of its own partition, once the contract is mended; the rest of the batch is not touched."""
    good = add(ports, tmp_path, "good.csv")
    bad = next(each for each in BAD_INPUTS if each.datasource == "narrow")
    failed = add(ports, tmp_path, bad.filename, bad.content, bad.datasource)
    run_batch(ports, instance, tmp_path, gathered(ports))
    assert statuses(instance)[failed.dataset_id] == until(bad.stage)
    Path(tmp_path, "contracts", "narrow.yaml").unlink()
    job = ports.catalog.request_job(failed.dataset_id, ports.clock.now())
    definitions = build_definitions(settings=embedded_settings(tmp_path), make_ports=lambda: ports)
    result = definitions.resolve_job_def("dataset_job").execute_in_process(
        instance=instance, partition_key=failed.dataset_id, tags={JOB_ID_TAG: job.job_id}
    )
    assert result.success
    assert statuses(instance) == {good.dataset_id: until(None), failed.dataset_id: until(None)}
    assert len(ports.catalog.jobs_of(good.dataset_id)) == 1


def test_the_run_config_lists_datasets_and_jobs(ports: Ports, tmp_path: Path) -> None:
    """In the order in which they are taken; it is all that the op is told."""
    jobs = [add(ports, tmp_path, f"{number}.csv") for number in range(3)]
    batch = gathered(ports)
    request = batch_request(batch)
    config = json.loads(json.dumps(request.run_config))["ops"]["take_through"]["config"]
    assert config == {"batch_id": batch.batch_id, "datasets": {job.dataset_id: job.job_id for job in jobs}}
    assert list(config["datasets"]) == [job.dataset_id for job in jobs]
    assert request.run_key == batch.batch_id

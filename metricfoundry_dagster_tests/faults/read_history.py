"""Reading a history from outside: the catalog and the store through the ports, served rows by SQL, Dagster's storage.

Nothing here judges; see `judge_history.py`.
"""

import json
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import DagsterEventType
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from metricfoundry_dagster.adapters.catalog.schema import arrivals
from metricfoundry_dagster.adapters.object_keys import TEMPORARY_FOLDER
from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.layout import manifest_key
from metricfoundry_dagster.domain.products import Root, Stage, StageProduct
from metricfoundry_dagster.orchestration.asset_checks import GATES, WARNINGS
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster_tests.faults.history import (
    CHECKSUM_COLUMN,
    DagsterFacts,
    DatasetHistory,
    Evaluation,
    History,
    Member,
    ServedRows,
    Telling,
)

_ALL = 1_000_000
_CHECKS = {check.name: stage for stage, check in GATES.items()} | {check.name: stage for stage, (check, _) in WARNINGS.items()}


def read_history(settings: Settings, ports: Ports, instance: dg.DagsterInstance) -> History:
    """The whole history of an instance at rest."""
    listed = [dataset for dataset, _ in ports.catalog.datasets(DatasetFilter(limit=_ALL))]
    datasets = tuple(_history_of(dataset, ports) for dataset in listed)
    datasources = sorted({dataset.datasource for dataset in listed})
    return History(
        datasets=datasets,
        served=tuple(rows for datasource in datasources for rows in _served(datasource, ports)),
        members=tuple(member for datasource in datasources for member in _members(datasource, ports)),
        dagster=_dagster_facts(datasets, instance),
        litter=_litter(settings, datasets),
    )


def _history_of(dataset: Dataset, ports: Ports) -> DatasetHistory:
    found = {stage: ports.catalog.stage(dataset.dataset_id, stage) for stage in Stage}
    records = {stage: record for stage, record in found.items() if record is not None}
    manifests = {stage: _public_manifest(dataset.dataset_id, stage, ports) for stage in records}
    return DatasetHistory(dataset, tuple(ports.catalog.jobs_of(dataset.dataset_id)), records, manifests)


def _public_manifest(dataset_id: str, stage: Stage, ports: Ports) -> StageProduct:
    return StageProduct.from_json(json.loads(ports.store.read_bytes(Root.ARTIFACTS, manifest_key(dataset_id, stage))))


def _served(datasource: str, ports: Ports) -> Iterator[ServedRows]:
    if ports.engine.current(datasource) is None:
        return
    sql = f'SELECT _dataset_id, count(*), sum("{CHECKSUM_COLUMN}") FROM "{datasource}" GROUP BY _dataset_id'
    for dataset_id, rows, checksum in ports.engine.query(sql, _ALL).rows:
        yield ServedRows(datasource, str(dataset_id), int(str(rows)), int(str(checksum)))


def _members(datasource: str, ports: Ports) -> Iterator[Member]:
    version = ports.engine.current(datasource)
    for member in version.members if version else ():
        yield Member(datasource, member.dataset_id, member.attempt)


def _dagster_facts(datasets: Collection[DatasetHistory], instance: dg.DagsterInstance) -> DagsterFacts:
    materialized = {stage: frozenset(instance.get_materialized_partitions(dg.AssetKey(stage.value))) for stage in Stage}
    unfinished = [status for status in dg.DagsterRunStatus if status not in FINISHED_STATUSES]
    return DagsterFacts(
        materialized=materialized,
        evaluations=frozenset(_evaluations(instance)),
        unfinished_runs=tuple(
            f"{run.run_id} {run.status.value}" for run in instance.get_runs(dg.RunsFilter(statuses=unfinished))
        ),
        told=Counter(_tellings(datasets, instance)),
    )


def _evaluations(instance: dg.DagsterInstance) -> Iterator[Evaluation]:
    told = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    for check, stage in _CHECKS.items():
        key = dg.AssetCheckKey(dg.AssetKey(stage.value), check)
        for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=_ALL, status=told):
            passed = record.status is AssetCheckExecutionRecordStatus.SUCCEEDED
            yield Evaluation(record.run_id, check, record.partition or "", passed)


def _tellings(datasets: Collection[DatasetHistory], instance: dg.DagsterInstance) -> Iterator[Telling]:
    """From the logs of the runs: what is kept of a check beside them has room for one evaluation of a run only."""
    for run_id in {job.run_id for each in datasets for job in each.jobs if job.run_id is not None}:
        for record in instance.all_logs(
            run_id, of_type={DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION}
        ):
            event = record.get_dagster_event()
            if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
                evaluation = event.asset_check_evaluation_data
                yield Telling(run_id, evaluation.check_name, evaluation.partition or "")
            else:
                yield Telling(run_id, str(event.asset_key and event.asset_key.to_user_string()), event.partition or "")


def _litter(settings: Settings, datasets: Collection[DatasetHistory]) -> dict[str, int]:
    """Sightings of objects that never became a dataset, half-written files, and attempts that left files for nothing."""
    return {
        "sightings": _count_sightings(settings.database_url),
        "half_written_files": sum(
            _half_written(root) for root in {settings.uploads_root, settings.artifacts_root, settings.reports_root}
        ),
        "unused_attempts": sum(max(0, sum(1 for job in each.jobs if job.attempt) - 1) for each in datasets),
    }


def _count_sightings(database_url: str) -> int:
    engine = sa.create_engine(sa.make_url(database_url).set(drivername=_driver(database_url)), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(arrivals)) or 0


def _driver(database_url: str) -> str:
    return "postgresql+psycopg2" if database_url.startswith("postgres") else "sqlite"


def _half_written(root: str) -> int:
    parsed = urllib.parse.urlsplit(root)
    if parsed.scheme not in {"", "file"}:
        return 0
    return sum(1 for path in (Path(parsed.path) / TEMPORARY_FOLDER).rglob("*") if path.is_file())

"""Telling Dagster of many datasets at once: materializations, check evaluations, and where a dataset stopped.

Put here how products become events of a batch's run. What they say is what ordinary assets say (`metadata.py`,
`asset_checks.py`); how they are stored is in `event_writer.py`. A dataset that stopped gets one planned
materialization of the asset where it did: with the run's failure that makes its partition a failed one there.

Source: the events of the pinned version, `dagster._core.events.DagsterEvent`.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as _Target,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    EventSpecificData,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry

from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.orchestration.asset_checks import GATES, check_results
from metricfoundry_dagster.orchestration.event_writer import write_events
from metricfoundry_dagster.orchestration.metadata import describe
from metricfoundry_dagster.pipeline.batch_flow import Taken
from metricfoundry_dagster.ports.bundle import Ports


@dataclass(frozen=True, slots=True)
class EventsOfRun:
    """The run that events belong to, and the step in it."""

    run_id: str
    job_name: str
    step_key: str


def tell(group: Sequence[Taken], run: EventsOfRun, instance: dg.DagsterInstance, ports: Ports) -> None:
    """Write the events of a group of datasets, each with its partition, to the event log: all or none.

    Raises:
        WorldError: `dagster.unreachable`, or the store's when the first rows of a table cannot be read.
    """
    passed = [product for taken in group for product in taken.products if product.gate.passed]
    entries = [materialization_entry(product, run, ports) for product in passed]

    def following(storage_ids: Sequence[int | None]) -> list[EventLogEntry]:
        targets = {
            (product.dataset_id, product.stage): _Target(storage_id=storage_id, run_id=run.run_id, timestamp=entry.timestamp)
            for product, entry, storage_id in zip(passed, entries, storage_ids, strict=True)
            if storage_id is not None
        }
        products = [product for taken in group for product in taken.products]
        evaluations = [e for p in products for e in evaluation_entries(p, targets.get((p.dataset_id, p.stage)), run)]
        return evaluations + [_planned(taken.stopped_at, taken.dataset_id, run) for taken in group if taken.stopped_at]

    write_events(entries, following, instance)


def materialization_entry(product: StageProduct, run: EventsOfRun, ports: Ports) -> EventLogEntry:
    """The event that an asset's partition was made."""
    described = dg.AssetMaterialization(product.stage.value, partition=product.dataset_id, metadata=describe(product, ports))
    message = f"Materialized value {product.stage.value}."
    return _entry(DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(described), message, run)


def evaluation_entries(product: StageProduct, target: _Target | None, run: EventsOfRun) -> Iterator[EventLogEntry]:
    """The verdict of the product's gate and its warning, if it has one. `target` is the materialization that they judge."""
    for result in check_results(product):
        evaluation = AssetCheckEvaluation(
            asset_key=dg.AssetKey(product.stage.value),
            check_name=str(result.check_name),
            passed=result.passed,
            metadata=result.metadata,
            target_materialization_data=target,
            severity=result.severity,
            description=result.description,
            blocking=result.check_name == GATES[product.stage].name,
            partition=product.dataset_id,
        )
        verdict = "passed" if result.passed else f"did not pass. {result.description or ''}".rstrip()
        message = f"Asset check '{result.check_name}' of {product.dataset_id} {verdict}"
        yield _entry(DagsterEventType.ASSET_CHECK_EVALUATION, evaluation, message, run)


def _planned(stage: Stage, dataset_id: str, run: EventsOfRun) -> EventLogEntry:
    planned = AssetMaterializationPlannedData(dg.AssetKey(stage.value), partition=dataset_id)
    message = f"{dataset_id} stopped at {stage.value}."
    return _entry(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, planned, message, run)


def _entry(kind: DagsterEventType, data: EventSpecificData, message: str, run: EventsOfRun) -> EventLogEntry:
    event = DagsterEvent(
        event_type_value=kind.value,
        job_name=run.job_name,
        event_specific_data=data,
        message=message,
        step_key=run.step_key,
    )
    return EventLogEntry(  # type: ignore[no-untyped-call] # Dagster's constructor has no annotations
        error_info=None,
        level=logging.DEBUG,
        user_message=message,
        run_id=run.run_id,
        timestamp=time.time(),
        step_key=run.step_key,
        job_name=run.job_name,
        dagster_event=event,
    )

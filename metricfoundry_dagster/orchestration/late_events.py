"""Telling Dagster late of what a run of one dataset did and could not say any more.

A worker may die, or its database be away, between the end of the job in the catalog and the last events of the run. Then
the dataset is served, and its partition would look as if it were not. Batches tell of many at once: `batch_events.py`.
"""

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.orchestration.batch_events import EventsOfRun, evaluation_entries, materialization_entry
from metricfoundry_dagster.orchestration.missing_objects import without_missing_objects
from metricfoundry_dagster.pipeline.batch_flow import Taken, what_was_made
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.ports.bundle import Ports

#: Runs of one partition that are looked through, newest first.
_LOOKED_AT = 20
_TOLD = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def what_can_be_told(job: Job, ports: Ports) -> Taken:
    """What became of a job that has ended, as far as its manifests are there: a bucket may have been tidied or restored since.

    Where it stopped is left out then: that is known only from all of them.
    """
    with without_missing_objects():
        return what_was_made(job, ports)
    found = [_readable(job, stage, ports) for stage in Stage]
    products = [product for product in found if product is not None and product.attempt == job.attempt]
    return Taken(job.dataset_id, job.job_id, products, job.error, is_begun=False)


def tell_what_is_missing(job: Job, run: dg.DagsterRun, instance: dg.DagsterInstance, ports: Ports) -> None:
    """Write the materializations and check evaluations of the job's products that its run did not; do it as often as you like."""
    for product in what_can_be_told(job, ports).products:
        events = EventsOfRun(run.run_id, run.job_name, product.stage.value)
        entries = [] if _is_materialized(product, run.run_id, instance) else [materialization_entry(product, events, ports)]
        entries += [
            entry
            for entry in evaluation_entries(product, None, events)
            if not _is_evaluated(product, entry.get_dagster_event().asset_check_evaluation_data.check_name, run.run_id, instance)
        ]
        for entry in entries:
            instance.handle_new_event(entry)


def _readable(job: Job, stage: Stage, ports: Ports) -> StageProduct | None:
    with without_missing_objects():
        return read_product(job.dataset_id, stage, ports)
    return None


def _is_materialized(product: StageProduct, run_id: str, instance: dg.DagsterInstance) -> bool:
    wanted = dg.AssetRecordsFilter(dg.AssetKey(product.stage.value), asset_partitions=[product.dataset_id])
    return any(record.run_id == run_id for record in instance.fetch_materializations(wanted, limit=_LOOKED_AT).records)


def _is_evaluated(product: StageProduct, check: str, run_id: str, instance: dg.DagsterInstance) -> bool:
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(product.stage.value), check),
        limit=_LOOKED_AT,
        status=_TOLD,
        partition_filter=PartitionKeyFilter(key=product.dataset_id),
    )
    return any(record.run_id == run_id for record in records)

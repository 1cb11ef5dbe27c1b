"""What the five assets have in common: open the job, run the stage, hand over its product and verdict.

Put here what every asset body needs. What is special to one asset stays in its own file.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import dagster as dg

from metricfoundry_dagster.domain.errors import ErrorRecord
from metricfoundry_dagster.domain.jobs import Attempt
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.orchestration.asset_checks import check_results, check_specs
from metricfoundry_dagster.orchestration.failures import translated_to_dagster
from metricfoundry_dagster.orchestration.partitions import DATASETS
from metricfoundry_dagster.pipeline.flow import give_up, run_stage
from metricfoundry_dagster.pipeline.job_progress import JobProgress
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import JOB_ID_TAG

#: Raise it when the same bytes would give another product.
CODE_VERSION = "1"
#: What the stage itself took of the run's process.
CPU_SECONDS = "cpu_seconds"


def product_asset(stage: Stage, *, kinds: set[str]) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`@dg.asset` with all that is the same for every stage."""
    return dg.asset(
        name=stage.value,
        partitions_def=DATASETS,
        io_manager_key="products",
        check_specs=check_specs(stage),
        group_name="datasets",
        owners=["team:metricfoundry"],
        kinds=kinds,
        # The annotation of the result would make Dagster expect no value for the IO manager.
        dagster_type=dg.Any,
        code_version=CODE_VERSION,
    )


def materialize_stage(
    stage: Stage, context: dg.AssetExecutionContext, ports: Ports, upstream: ProductHandle | None = None
) -> dg.MaterializeResult[StageProduct]:
    """Run one stage of this partition's dataset; the IO manager publishes what it gives.

    Raises:
        dg.RetryRequested: the world did not answer.
        dg.Failure: everything else that is no verdict on the data.
    """
    with translated_to_dagster(context.retry_number, give_up_of(context, ports)):
        attempt = open_attempt(context, ports)
        progress = JobProgress(attempt.job.job_id, ports.catalog, ports.clock)
        began_s = time.process_time()
        with upstream or nullcontext():
            product = run_stage(stage, attempt, ports, progress, upstream)
        cpu = dg.MetadataValue.float(round(time.process_time() - began_s, 3))
    return dg.MaterializeResult(value=product, check_results=list(check_results(product)), metadata={CPU_SECONDS: cpu})


def open_attempt(context: dg.AssetExecutionContext, ports: Ports) -> Attempt:
    """The job that this run carries for this partition's dataset; the same one in all five assets."""
    run = context.run
    job_id, now = run.tags.get(JOB_ID_TAG), ports.clock.now()
    return ports.catalog.open_job(context.partition_key, run.run_id, job_id, run.parent_run_id, now)


def give_up_of(context: dg.AssetExecutionContext, ports: Ports) -> Callable[[ErrorRecord], None]:
    """How this run gives up its job for this partition's dataset."""
    run_id, dataset_id = context.run.run_id, context.partition_key
    return lambda record: give_up(run_id, dataset_id, record, ports)

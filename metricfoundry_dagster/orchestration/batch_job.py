"""The job of a batch: one op that takes an explicit list of datasets through the flow, in one process.

Put here what the op is given and how it ends. What it does is in `pipeline/batch_flow.py`; what the UI is told of each
dataset is in `batch_events.py`.
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from metricfoundry_dagster.actions.submit_waiting import RunToStart
from metricfoundry_dagster.orchestration.batch_events import EventsOfRun, tell
from metricfoundry_dagster.orchestration.process_settings import process_settings
from metricfoundry_dagster.pipeline.batch_flow import BatchInterrupted, BatchPace, Taken, carry_batch, count_by_code
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import BATCH_DATASETS_TAG, BATCH_ID_TAG

BATCH_JOB = "dataset_batch"
_OP = "take_through"
#: Lone files go first: somebody may be waiting for them.
_PRIORITY = "-1"
_TOLD_DATASETS = 5


class BatchConfig(dg.Config):
    """What a batch is: an id, and the job of each dataset, by dataset id, in the order in which they are taken."""

    batch_id: str
    datasets: dict[str, str]


@dg.op(name=_OP, description="Takes many small datasets through all five assets; one that stops does not stop the others.")
def take_through(context: dg.OpExecutionContext, config: BatchConfig, ports: dg.ResourceParam[Ports]) -> None:
    """Carry the batch, and fail at the end if a dataset did: its partition is shown as failed only in a failed run."""
    run = context.run
    of_run = EventsOfRun(run.run_id, run.job_name, context.op_handle.name)
    ports.catalog.attach_batch(config.batch_id, run.run_id)
    try:
        done = carry_batch(
            list(config.datasets.items()),
            (run.run_id, run.parent_run_id),
            ports,
            _pace(),
            tell=lambda group: tell(group, of_run, context.instance, ports),
            log=context.log,
        )
    except BatchInterrupted as interrupted:
        raise dg.Failure(str(interrupted), metadata={"hint": interrupted.record.hint}, allow_retries=False) from interrupted
    stopped = [taken for taken in done if taken.error is not None]
    context.log.info("%d of %d datasets are served", len(done) - len(stopped), len(done))
    if stopped:
        raise dg.Failure(_summary(stopped, len(done)), metadata=dict(count_by_code(stopped)), allow_retries=False)


@dg.graph(name=BATCH_JOB)
def _dataset_batch() -> None:
    take_through()


def batch_job(ports: dg.ResourceDefinition) -> dg.JobDefinition:
    """The job, with the ports that its op works on: Dagster would otherwise make it, and every sensor of it, anew."""
    return _dataset_batch.to_job(
        executor_def=dg.in_process_executor,
        resource_defs={"ports": ports},
        description="Takes many small datasets through the flow in one run. Each keeps its partition, checks, job and retry.",
    )


def batch_request(batch: RunToStart) -> dg.RunRequest:
    """The request for the run of a batch; asked for twice, it is one run."""
    batch_id = str(batch.batch_id)
    config = BatchConfig(batch_id=batch_id, datasets={job.dataset_id: job.job_id for job in batch.jobs})
    return dg.RunRequest(
        run_key=batch_id,
        job_name=BATCH_JOB,
        run_config=dg.RunConfig(ops={_OP: config}),
        tags={BATCH_ID_TAG: batch_id, BATCH_DATASETS_TAG: str(len(batch.jobs)), "dagster/priority": _PRIORITY},
    )


def batch_run(run: dg.DagsterRun) -> EventsOfRun:
    """A batch's run, for whoever tells of it after its worker died."""
    return EventsOfRun(run.run_id, run.job_name, _OP)


def _pace() -> BatchPace:
    settings = process_settings()
    return BatchPace(
        group_datasets=settings.served_together,
        world_retries=settings.world_retries,
        retry_base_seconds=settings.world_retry_base_seconds,
        hold=timedelta(seconds=settings.batch_hold_seconds),
    )


def _summary(stopped: Sequence[Taken], count: int) -> str:
    errors = [(taken.dataset_id, taken.error) for taken in stopped if taken.error is not None]
    first = "; ".join(f"{dataset_id}: {error.message} [{error.code}]" for dataset_id, error in errors[:_TOLD_DATASETS])
    more = f"; and {len(stopped) - _TOLD_DATASETS} more" if len(stopped) > _TOLD_DATASETS else ""
    return f"{len(stopped)} of {count} datasets stopped, the others are served. {first}{more}"

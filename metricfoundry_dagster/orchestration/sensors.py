"""Sensors: they ask actions what there is to do, and translate the answer into partitions and runs.

`drop_zone` registers what came in and submits waiting jobs, small ones in batches; `lost_jobs` closes jobs whose worker
did not live to say so. Both may die at any point: what was not submitted is still in the catalog, and a run is looked
for by the tag of its job or batch before it is asked for again.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

import dagster as dg

from metricfoundry_dagster.actions.clear_up import clear_up
from metricfoundry_dagster.actions.discover import discover
from metricfoundry_dagster.actions.gather import BatchRules
from metricfoundry_dagster.actions.submit_waiting import QueueRules, RunToStart, claim_waiting
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.orchestration.batch_job import batch_request
from metricfoundry_dagster.orchestration.jobs import DATASET_JOB
from metricfoundry_dagster.orchestration.lost_runs import look_after
from metricfoundry_dagster.orchestration.partitions import DATASETS
from metricfoundry_dagster.orchestration.run_states import run_carrying, run_states
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import JOB_ID_TAG, RunState
from metricfoundry_dagster.settings import Settings

#: Refusals that one tick tells of: they come back at every tick.
_MAX_TOLD = 20


def drop_zone_sensor(settings: Settings, batches: dg.JobDefinition) -> dg.SensorDefinition:
    """Watches `incoming/` and everything else that waits for a run."""

    @dg.sensor(
        name="drop_zone",
        jobs=[DATASET_JOB, batches],
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers every complete new object of the drop zone and starts runs for waiting datasets.",
    )
    def drop_zone(context: dg.SensorEvaluationContext, ports: dg.ResourceParam[Ports]) -> dg.SensorResult:
        registered, failure = 0, None
        try:
            registered = _take_in(context, ports, settings)
        except Exception as error:  # whatever ails the drop zone must not hold up what waits already
            failure = error
            context.log.exception("the drop zone could not be looked at")
        find_run = partial(run_carrying, instance=context.instance)
        runs = claim_waiting(ports, _queue_rules(settings), _batch_rules(settings), find_run)
        if not runs and failure is not None:
            raise failure
        if not runs:
            return dg.SensorResult(skip_reason=f"nothing waits; {registered} objects were registered")
        keys = sorted({job.dataset_id for run in runs for job in run.jobs})
        return dg.SensorResult(
            run_requests=[_request(run) for run in runs],
            dynamic_partitions_requests=[DATASETS.build_add_request(keys)],
        )

    return drop_zone


def lost_jobs_sensor(settings: Settings) -> dg.SensorDefinition:
    """Watches the runs of processing jobs."""

    @dg.sensor(
        name="lost_jobs",
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Closes jobs whose run ended without a word, lets their dataset be taken up again, and clears up after them.",
    )
    def lost_jobs(context: dg.SensorEvaluationContext, ports: dg.ResourceParam[Ports]) -> dg.SkipReason:
        carried = ports.catalog.carried_runs()
        known_since = ports.clock.now() - timedelta(seconds=settings.job_lost_after_seconds)
        states = run_states(carried, context.instance, known_since=known_since)
        ended = {run.run_id: states[run.run_id] for run in carried if states[run.run_id].ended}
        failure = _look_after_each(ended, context, ports)
        _clear_up(context, ports)
        if failure is not None:
            raise failure
        return dg.SkipReason(f"{len(carried)} runs carry datasets")

    return lost_jobs


def _look_after_each(ended: Mapping[str, RunState], context: dg.SensorEvaluationContext, ports: Ports) -> Exception | None:
    """Look after runs, each by itself: one that cannot be must not keep the others waiting. Gives the first failure."""
    first = None
    for run_id, state in ended.items():
        try:
            look_after(run_id, state, context.instance, ports, context.log)
        except Exception as error:  # told below and by the tick; the next tick tries again
            context.log.exception("run %s could not be looked after", run_id)
            first = first or error
    return first


def _clear_up(context: dg.SensorEvaluationContext, ports: Ports) -> None:
    """After the jobs: what a dead worker left in the engine is nobody's only when its job has ended."""
    try:
        for datasource in clear_up(ports):
            context.log.warning("%s: what was begun in the engine and not recorded was taken back", datasource)
    except WorldError as error:
        context.log.warning("%s %s", error.record.message, error.record.hint)


def _take_in(context: dg.SensorEvaluationContext, ports: Ports, settings: Settings) -> int:
    """Register what is complete, and tell of what cannot be; give how many were registered."""
    quiet = timedelta(seconds=settings.quiet_seconds)
    most, keys = settings.max_registrations_per_tick, settings.max_keys_per_look
    found = discover(ports, max_registrations=most, quiet=quiet, max_keys=keys, cursor=context.cursor)
    context.update_cursor(found.cursor)
    for refusal in found.refused[:_MAX_TOLD]:
        context.log.warning("%s: %s %s", refusal.uri, refusal.error.message, refusal.error.hint)
    if len(found.refused) > _MAX_TOLD:
        context.log.warning("%d more were refused", len(found.refused) - _MAX_TOLD)
    return len(found.registered)


def _queue_rules(settings: Settings) -> QueueRules:
    return QueueRules(
        max_runs_per_look=settings.max_runs_per_tick,
        max_queued_runs=settings.max_queued_runs,
        workers=settings.max_concurrent_runs,
        lost_after=timedelta(seconds=settings.job_lost_after_seconds),
    )


def _batch_rules(settings: Settings) -> BatchRules:
    return BatchRules(
        min_datasets=settings.batch_min_datasets,
        max_datasets=settings.batch_max_datasets,
        max_bytes=settings.batch_max_bytes,
        max_dataset_bytes=settings.batch_max_dataset_bytes,
        max_age=timedelta(seconds=settings.batch_max_age_seconds),
    )


def _request(run: RunToStart) -> dg.RunRequest:
    if run.batch_id is not None:
        return batch_request(run)
    [job] = run.jobs
    tags = {JOB_ID_TAG: job.job_id}
    return dg.RunRequest(run_key=job.job_id, job_name=DATASET_JOB.name, partition_key=job.dataset_id, tags=tags)

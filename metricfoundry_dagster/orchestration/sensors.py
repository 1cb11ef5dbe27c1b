"""Sensors: they ask actions what there is to do, and translate the answer into partitions and runs.

`drop_zone` registers what came in and submits waiting jobs; `lost_jobs` closes jobs whose worker did not live to
say so. Both may die at any point: what was not submitted is still in the catalog, and a run is looked for
by its job's tag before it is asked for again.
"""

from datetime import timedelta

import dagster as dg

from metricfoundry_dagster.actions.discover import discover
from metricfoundry_dagster.actions.recover import Recovery, recover
from metricfoundry_dagster.actions.submit_waiting import claim_waiting
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.orchestration.jobs import DATASET_JOB
from metricfoundry_dagster.orchestration.partitions import DATASETS
from metricfoundry_dagster.orchestration.run_states import run_carrying, run_states
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.ports.runs import JOB_ID_TAG
from metricfoundry_dagster.settings import Settings

_MAX_CARRIED = 1_000
#: Refusals that one tick tells of: they come back at every tick.
_MAX_TOLD = 20


def drop_zone_sensor(settings: Settings) -> dg.SensorDefinition:
    """Watches `incoming/` and everything else that waits for a run."""

    @dg.sensor(
        name="drop_zone",
        job=DATASET_JOB,
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers every complete new object of the drop zone and starts a run for each waiting dataset.",
    )
    def drop_zone(context: dg.SensorEvaluationContext, ports: dg.ResourceParam[Ports]) -> dg.SensorResult:
        registered, failure = 0, None
        try:
            registered = _take_in(context, ports, settings)
        except Exception as error:  # whatever ails the drop zone must not hold up what waits already
            failure = error
            context.log.exception("the drop zone could not be looked at")
        jobs = claim_waiting(
            ports,
            max_jobs=settings.max_runs_per_tick,
            max_queued=settings.max_queued_runs,
            lost_after=timedelta(seconds=settings.job_lost_after_seconds),
            find_run=lambda job: run_carrying(job, context.instance),
        )
        if not jobs and failure is not None:
            raise failure
        if not jobs:
            return dg.SensorResult(skip_reason=f"nothing waits; {registered} objects were registered")
        keys = sorted({job.dataset_id for job in jobs})
        return dg.SensorResult(
            run_requests=[_request(job) for job in jobs],
            dynamic_partitions_requests=[DATASETS.build_add_request(keys)],
        )

    return drop_zone


def lost_jobs_sensor(settings: Settings) -> dg.SensorDefinition:
    """Watches the runs of processing jobs."""

    @dg.sensor(
        name="lost_jobs",
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Closes jobs whose run ended without a word, and lets their dataset be taken up again.",
    )
    def lost_jobs(context: dg.SensorEvaluationContext, ports: dg.ResourceParam[Ports]) -> dg.SkipReason:
        carried = _carried_jobs(ports)
        known_since = ports.clock.now() - timedelta(seconds=settings.job_lost_after_seconds)
        states = run_states(carried, context.instance, known_since=known_since)
        for job in carried:
            recovery = recover(ports, job, states[job.job_id])
            if recovery is not None:
                context.log.warning("%s: run %s ended without closing its job; %s", job.dataset_id, job.run_id, _fate(recovery))
        return dg.SkipReason(f"{len(carried)} jobs are carried by runs")

    return lost_jobs


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


def _carried_jobs(ports: Ports) -> list[Job]:
    """Jobs whose run is known. One may also fail before it opens its job, so those in the queue count too."""
    states = (JobState.PROCESSING, JobState.QUEUED)
    listed = [ports.catalog.datasets(DatasetFilter(state=state, limit=_MAX_CARRIED)) for state in states]
    return [job for jobs in listed for _, job in jobs if job.run_id is not None]


def _fate(recovery: Recovery) -> str:
    if recovery.successor is not None:
        return "the dataset is taken up again"
    if recovery.lost.state is JobState.COMPLETED:
        return f"it had a part to do, up to {recovery.lost.progress_percent} %, and did it"
    return f"the job is {recovery.lost.state}, and the dataset is left to a person"


def _request(job: Job) -> dg.RunRequest:
    return dg.RunRequest(run_key=job.job_id, partition_key=job.dataset_id, tags={JOB_ID_TAG: job.job_id})

"""Request a run for a waiting job, now, instead of leaving it to the sensor."""

from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs


def request_run(ports: Ports, runs: Runs, job_id: str) -> Job:
    """Claim a created job, submit its run and note which run it is; give the job as it is then.

    A job that somebody else has claimed is left to them.

    Raises:
        WorldError: `dagster.refused`: the job waits again, as created. `dagster.unreachable`: the run may have been
            launched all the same, so the job stays queued until somebody has looked for it.
    """
    catalog = ports.catalog
    if catalog.claim_job(job_id, ports.clock.now()):
        try:
            run_id = runs.submit(catalog.job(job_id))
        except WorldError as error:
            if error.code == "dagster.refused":
                catalog.release_job(job_id)
            raise
        catalog.attach_run(job_id, run_id)
    return catalog.job(job_id)

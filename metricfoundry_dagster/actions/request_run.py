"""Request a run for a waiting job, now, instead of leaving it to the sensor."""

from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs


def request_run(ports: Ports, runs: Runs, job_id: str) -> Job:
    """Claim a created job, submit its run and note which run it is; give the job as it is then.

    A job that somebody else has claimed is left to them.

    Raises:
        WorldError: when the run cannot be submitted; the job waits again, as created.
    """
    catalog = ports.catalog
    if catalog.claim_job(job_id, ports.clock.now()):
        try:
            run_id = runs.submit(catalog.job(job_id))
        except WorldError:
            catalog.release_job(job_id)
            raise
        catalog.attach_run(job_id, run_id)
    return catalog.job(job_id)

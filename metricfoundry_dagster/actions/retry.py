"""Retry a dataset: a new job takes it through the flow again."""

from metricfoundry_dagster.actions.request_run import request_run
from metricfoundry_dagster.domain.datasets import require_dataset_id
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs


def retry(ports: Ports, runs: Runs, dataset_id: str) -> Job:
    """Request a job for a dataset whose last one has ended, and its run.

    Raises:
        NotFoundError: `dataset.not_found`.
        ConflictError: `job.not_retryable` while a job of the dataset is under way.
        WorldError: when the run cannot be submitted; the job stays and waits for the sensor.
    """
    dataset = ports.catalog.dataset(require_dataset_id(dataset_id))
    return request_run(ports, runs, ports.catalog.request_job(dataset.dataset_id, ports.clock.now()).job_id)

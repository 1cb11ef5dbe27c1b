"""Retry a dataset: a new job takes it through the flow again."""

from metricfoundry_dagster.actions.recover import recover
from metricfoundry_dagster.actions.request_run import request_run
from metricfoundry_dagster.domain.datasets import require_dataset_id
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs


def retry(ports: Ports, runs: Runs, dataset_id: str) -> Job:
    """Request a job for a dataset whose last one has ended, or has lost its run, and request the run; one that waits is used.

    Raises:
        NotFoundError: `dataset.not_found`.
        ConflictError: `job.not_retryable` while a job of the dataset is under way.
        WorldError: when the run cannot be submitted; the job stays and waits.
    """
    dataset = ports.catalog.dataset(require_dataset_id(dataset_id))
    job = _waiting_or_successor(ports, runs, dataset.dataset_id)
    return request_run(ports, runs, (job or ports.catalog.request_job(dataset.dataset_id, ports.clock.now())).job_id)


def _waiting_or_successor(ports: Ports, runs: Runs, dataset_id: str) -> Job | None:
    """The job that waits to be begun, perhaps for a server to come back: a person knows better when that is so.

    A job whose run ended without a word is closed, which nobody else may do without a daemon: give the one in its place.
    """
    newest = ports.catalog.jobs_of(dataset_id)[0]
    if newest.state is JobState.CREATED:
        return newest
    if newest.state.ended or newest.run_id is None:
        return None
    try:
        state = runs.state(newest.run_id)
    except WorldError:
        return None
    recovery = recover(ports, newest, state)
    return recovery.successor if recovery else None

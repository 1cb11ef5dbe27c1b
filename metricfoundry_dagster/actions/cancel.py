"""Cancel the job of a dataset that is under way."""

from contextlib import suppress

from metricfoundry_dagster.actions.shown_already import is_served, shown_already
from metricfoundry_dagster.domain.datasets import require_dataset_id
from metricfoundry_dagster.domain.errors import ConflictError, UserError, WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import Runs


def cancel(ports: Ports, runs: Runs, dataset_id: str) -> Job:
    """End the newest job of a dataset as canceled; nothing of it will be published any more.

    The run is told to end unless it carries other jobs that go on.

    Raises:
        NotFoundError: `dataset.not_found`.
        ConflictError: `job.not_cancelable` when the job has ended already, or readers see what it served.
    """
    dataset = ports.catalog.dataset(require_dataset_id(dataset_id))
    newest = ports.catalog.jobs_of(dataset.dataset_id)[0]
    if not newest.state.ended and (is_served(newest) or shown_already([newest], ports)):
        raise ConflictError("job.not_cancelable", f"{dataset.dataset_id} is served already, and its job about to end")
    reason = UserError("job.canceled", f"the job of {dataset.dataset_id} was canceled on request").record
    if not ports.catalog.close_job(newest.job_id, JobState.CANCELED, reason, ports.clock.now()):
        raise ConflictError("job.not_cancelable", f"the job of {dataset.dataset_id} is {_state_of(newest, ports)}")
    canceled = ports.catalog.job(newest.job_id)
    if canceled.run_id and all(job.state.ended for job in ports.catalog.jobs_of_run(canceled.run_id)):
        # The job is canceled whether or not its run hears of it now: a stage asks before every block.
        with suppress(WorldError):
            runs.cancel(canceled.run_id)
    return canceled


def _state_of(job: Job, ports: Ports) -> JobState:
    return ports.catalog.job(job.job_id).state

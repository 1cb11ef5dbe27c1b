"""Runs: what carries a job, on a machine of ours or another."""

from enum import StrEnum
from typing import Protocol

from metricfoundry_dagster.domain.jobs import Job

#: The run tag that names the job which a run carries.
JOB_ID_TAG = "metricfoundry/job_id"
#: The run tag that names the batch which a run carries, and the one that says of how many datasets.
BATCH_ID_TAG = "metricfoundry/batch_id"
BATCH_DATASETS_TAG = "metricfoundry/batch_datasets"


class RunState(StrEnum):
    """As much of a run's state as actions need."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """No state follows this one."""
        return self in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED}


class Runs(Protocol):
    """Submits, cancels and watches runs. Raises WorldError `dagster.unreachable` or `dagster.refused`."""

    def submit(self, job: Job) -> str:
        """Start a run that carries the job, and give its id. The run is tagged with the job's id."""

    def run_of(self, job: Job) -> str | None:
        """The id of a run that was started for the job, None when none is known."""

    def cancel(self, run_id: str) -> None:
        """Ask the run to end; without effect when it has ended."""

    def state(self, run_id: str) -> RunState:
        """What the run is doing."""

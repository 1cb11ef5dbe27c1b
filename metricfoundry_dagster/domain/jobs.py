"""A job: one attempt to take one dataset through the flow."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from metricfoundry_dagster.domain.datasets import Dataset
from metricfoundry_dagster.domain.errors import ErrorRecord
from metricfoundry_dagster.domain.products import Stage


class JobState(StrEnum):
    """The same words everywhere: catalog, command line, API."""

    CREATED = "created"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """No state follows this one."""
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.CANCELED}


#: Percent of a job that is done once a stage is published.
MILESTONES_PERCENT: dict[Stage, int] = {
    Stage.RAW_OBJECT: 5,
    Stage.STAGED_PARQUET: 25,
    Stage.VALIDATED_FRAME: 60,
    Stage.PROFILE_REPORT: 85,
    Stage.DRUID_DATASOURCE: 100,
}


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt. `attempt` counts from 1 per dataset and is 0 until a run has opened the job."""

    job_id: str
    dataset_id: str
    attempt: int
    state: JobState
    progress_percent: int
    run_id: str | None
    stage: Stage | None
    error: ErrorRecord | None
    created_at: datetime
    ended_at: datetime | None
    #: When somebody took it to start its run; None while nobody has.
    claimed_at: datetime | None = None
    #: The batch that it was claimed for; None when it has a run of its own, or waits.
    batch_id: str | None = None
    #: How many datasets a batch with this one may have, 1 for a run of its own; None for as many as the settings say.
    batch_limit: int | None = None
    #: When it may be claimed at the earliest; None for at once.
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A dataset together with the open job that works on it: what every stage is given."""

    dataset: Dataset
    job: Job

    @property
    def number(self) -> int:
        """The attempt's number, at least 1."""
        return self.job.attempt

"""The catalog: the truth about datasets. Runs are Dagster's to know."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset
from metricfoundry_dagster.domain.errors import ErrorRecord, MetricFoundryError
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.products import Stage, StageProduct, TableProduct
from metricfoundry_dagster.domain.served import Servable, Version
from metricfoundry_dagster.ports.announcements import Announcements
from metricfoundry_dagster.ports.object_store import ObjectInfo


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What the catalog knows of a published stage; the whole of it is in the manifest."""

    dataset_id: str
    stage: Stage
    attempt: int
    job_id: str
    passed: bool
    rows_out: int
    rows_rejected: int
    published_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A created job that may be claimed. `batch_limit` is as in `Job`."""

    job_id: str
    dataset_id: str
    size_bytes: int
    created_at: datetime
    batch_limit: int | None


@dataclass(frozen=True, slots=True)
class CarriedRun:
    """A run that carries jobs about which something is still to be said.

    `claimed_at` is when its newest job was claimed; `has_begun` is False while all of them are still queued.
    """

    run_id: str
    claimed_at: datetime | None
    has_begun: bool


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A job that its run gives back: why, how many may go together the next time, and when at the earliest."""

    job_id: str
    error: ErrorRecord
    batch_limit: int | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job is to end."""

    job_id: str
    state: JobState
    error: ErrorRecord | None = None


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which version of a datasource readers see."""

    datasource: str
    number: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """Which datasets to list; None asks for nothing. Newest first, `limit` at the most."""

    datasource: str | None = None
    state: JobState | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Sighting:
    """Objects that nobody registered yet: those that are complete, and those that must be looked at again."""

    complete: list[ObjectInfo]
    incomplete: list[ObjectInfo]


class Arrivals(Protocol):
    """Objects seen in the drop zone. What is new is decided by the unique (URI, ETag)."""

    def look(self, objects: Sequence[ObjectInfo], now: datetime, quiet: timedelta = timedelta(0)) -> Sighting:
        """Note this look at the objects; give those that are not yet registered.

        An object is complete when an earlier look, at least `quiet` ago, saw the same URI and ETag. What this costs
        goes with the number of these objects, not with that of all that were ever registered.
        """


class Datasets(Protocol):
    """Datasets and their datasources."""

    def register(self, new: Sequence[NewDataset], now: datetime, run_id: str | None = None) -> list[Dataset]:
        """Register datasets, in order, in one transaction, each with a job in state created.

        With `run_id` the jobs are queued and belong to that run, which is about to begin them: nobody else submits
        them. One whose id is known is given back as it is, without a new job. All in one or none.

        Raises:
            ConflictError: `datasource.name_taken` or `datasource.mode_conflict`.
        """

    def revise(self, dataset_id: str, contract: str | None, recipe: dict[str, object]) -> Dataset:
        """Change how the dataset's next job is to judge and read it. Raises NotFoundError `dataset.not_found`."""

    def dataset(self, dataset_id: str) -> Dataset:
        """One dataset. Raises NotFoundError `dataset.not_found`."""

    def current_attempts(self, dataset_ids: Collection[str]) -> dict[str, int]:
        """The newest attempt that was begun of each registered dataset, 0 before the first."""

    def datasets(self, which: DatasetFilter) -> list[tuple[Dataset, Job]]:
        """Datasets with the newest job of each."""

    def mode(self, datasource: str) -> Mode | None:
        """How the datasource is kept; None when it is unknown."""

    def names_and_modes(self, slugs: Collection[str]) -> dict[str, tuple[str, Mode]]:
        """The given name and the mode of those datasources that are known, by slug; one look for all."""


class Claims(Protocol):
    """Who starts the run of a waiting job: whoever claims it, which nobody can do twice."""

    def waiting_jobs(self, limit: int, now: datetime) -> list[WaitingJob]:
        """Created jobs that are not held back, oldest first."""

    def queued_runs(self) -> int:
        """How many runs are waited for by queued jobs; those of one batch wait for one."""

    def claim_jobs(self, batch_of: Mapping[str, str | None], now: datetime) -> list[Job]:
        """Take jobs for submission, by id, each with its batch or None for a run of its own; they become queued.

        Gives those that were still created, oldest first; somebody else has the others.
        """

    def reclaim_jobs(self, now: datetime, lost_after: timedelta) -> list[Job]:
        """Take again, with their batch, queued jobs without a run that were claimed longer than `lost_after` ago.

        Whoever claimed them may have died before or after submitting, so ask for their run first.
        """

    def claim_job(self, job_id: str, now: datetime) -> bool:
        """Take one created job for submission; False when somebody else has it."""

    def release_job(self, job_id: str) -> None:
        """Give a queued job without a run back: created again."""

    def attach_run(self, job_id: str, run_id: str) -> None:
        """Note which run carries a queued job; without effect when it has begun."""

    def attach_batch(self, batch_id: str, run_id: str) -> None:
        """Note which run carries the queued jobs of a batch; without effect on those that another run carries."""


class Jobs(Protocol):
    """Jobs and their states."""

    def job(self, job_id: str) -> Job:
        """One job. Raises NotFoundError `dataset.not_found`."""

    def jobs_of(self, dataset_id: str) -> list[Job]:
        """All jobs of a dataset, newest first."""

    def request_job(self, dataset_id: str, now: datetime) -> Job:
        """A new job in state created. Raises ConflictError `job.not_retryable` while another has not ended."""

    def open_job(self, dataset_id: str, run_id: str, job_id: str | None, parent_run_id: str | None, now: datetime) -> Attempt:
        """Begin, or go on with, the dataset's job that this run carries: it is processing, and has its attempt.

        The same run always gets the same job. The waiting job `job_id` (or any that waits for no other run) is taken; one that
        `parent_run_id` carried is closed as failed with `worker.died` and a new one takes its place; without any
        of these a new job is made. Beginning raises the dataset's current attempt, which fences earlier ones.

        Raises:
            ConflictError: `job.not_retryable` when the job is carried by another run that is not the parent;
                `job.canceled` when it was canceled.
        """

    def open_jobs(
        self, named: Sequence[tuple[str, str]], run_id: str, parent_run_id: str | None, now: datetime
    ) -> list[Attempt | MetricFoundryError]:
        """`open_job` for many datasets, each with the id of its waiting job, in one transaction.

        What is wrong with one is given in its place. What has completed, or is under way in a run that is not the
        parent, is not begun again: `job.not_retryable`. All that are begun belong to a batch, until Dagster is told.
        """

    def report_progress(self, job_id: str, stage: Stage, percent: int) -> JobState:
        """Note how far a processing job is, never backwards; give its state, which may be canceled by now."""

    def close_job(self, job_id: str, state: JobState, error: ErrorRecord | None, now: datetime) -> bool:
        """End a job that has not ended; False, without effect, when it has."""

    def close_jobs(self, endings: Sequence[Ending], now: datetime) -> None:
        """End those of the jobs that have not ended, in one transaction."""

    def close_partial_job(self, job_id: str, now: datetime) -> bool:
        """End a job as completed whose run ended well after some of the stages: it keeps the progress that it reached.

        False, without effect, when it has ended. Whether the dataset is served is told by its last stage alone.
        """

    def replace_job(self, job_id: str, error: ErrorRecord, now: datetime) -> Job | None:
        """End a job that has not ended as failed, and put a new one in state created in its place: both or neither.

        The new one goes alone, in no batch. Gives it; None, without effect, when the job has ended. Raises NotFoundError
        `dataset.not_found`.
        """

    def give_back(self, jobs: Sequence[GivenBack], run_id: str, now: datetime) -> int:
        """Let another run take up what a run that carried many jobs did not finish, in one transaction.

        A queued job waits again, as created, and belongs to no run. One that was begun ends as failed with its error,
        and a new one waits in its place. A smaller limit that a job has already stays. Those that have ended, or that
        `run_id` does not carry, stay as they are. Gives how many wait now.
        """

    def jobs_of_run(self, run_id: str) -> list[Job]:
        """The jobs that a run carries, oldest first."""

    def carried_runs(self) -> list[CarriedRun]:
        """Runs that carry queued or processing jobs, or ended jobs of which Dagster may not have been told yet.

        These are the jobs of batches, and the completed ones of runs of their own.
        """

    def untold_jobs(self, run_id: str) -> list[Job]:
        """Jobs that have ended, and of whose stages Dagster may not have been told yet, oldest first."""

    def mark_told(self, job_ids: Sequence[str]) -> None:
        """Note that Dagster was told of what became of these jobs."""


class Publications(Protocol):
    """Which stages were published, by which attempt."""

    def publish(self, product: StageProduct, job_id: str, now: datetime) -> None:
        """Record the product if its attempt is still the dataset's current one: a compare-and-set.

        Idempotent for the same attempt. Raises FencedError `attempt.fenced`.
        """

    def publish_all(self, products: Sequence[tuple[StageProduct, str]], now: datetime) -> list[MetricFoundryError | None]:
        """`publish` for many products, each with the id of its job, in one transaction.

        Gives for each what forbade it, None when it is published. Of a dataset either all products count or none.
        """

    def stage(self, dataset_id: str, stage: Stage) -> StageRecord | None:
        """The published state of a stage; None when it was never published."""

    def previous_tables(self, dataset: Dataset, stage: Stage) -> tuple[TableProduct, ...] | None:
        """The tables of the newest earlier dataset of the same datasource that passed this stage; None without one."""

    def row_history(self, dataset: Dataset, limit: int) -> list[int]:
        """Rows that the last earlier datasets of the datasource served, newest first."""


class Versions(Protocol):
    """Versions of datasources and the pointer to the current one: used by the embedded serving engine."""

    def add_versions(self, servables: Sequence[Servable], now: datetime) -> list[tuple[int, bool] | MetricFoundryError]:
        """Make versions and move the pointers, by the rules of `ServingEngine.serve_all`, in one transaction.

        Gives, in the order of the servables, the number of the version that came with each and whether readers see
        it when all are done; or what is wrong with that dataset, of which then no trace is left:

        - ConflictError `datasource.mode_conflict`;
        - FencedError `attempt.fenced` when a newer attempt has begun, or the attempt's job has ended: what a person
          canceled is not shown.
        """

    def step_back(self, datasource: str) -> Version:
        """Move the pointer to the version before. Raises as `ServingEngine.rollback`."""

    def current_version(self, datasource: str) -> Version | None:
        """The version the pointer is at."""

    def versions(self, datasource: str) -> list[Version]:
        """All versions, newest first."""

    def pointers(self) -> list[Pointer]:
        """What every datasource serves now, by name; its members are not read."""

    def current_versions(self, of: Collection[str] | None = None) -> list[Version]:
        """The current version of the datasources that are named, of all for None, by name; what serves nothing is left out."""


class Documents(Protocol):
    """Contracts and recipes that were kept for a datasource."""

    def keep_contract(self, datasource: str, text: str, now: datetime) -> None:
        """Keep the YAML text of the contract for the datasource's next files."""

    def contract(self, datasource: str) -> str | None:
        """The YAML text that was kept last."""

    def keep_recipe(self, datasource: str, recipe: dict[str, object], now: datetime) -> None:
        """Keep overrides of the recipe for the datasource's next files."""

    def recipe(self, datasource: str) -> dict[str, object] | None:
        """The overrides that were kept last."""


class Catalog(Arrivals, Datasets, Claims, Jobs, Publications, Versions, Announcements, Documents, Protocol):
    """All of it. Every method is one transaction, and raises WorldError `catalog.unreachable` when there is no database."""

    def upgrade(self) -> None:
        """Bring the schema to the newest revision; safe to call from several processes at once."""

    def check(self) -> str:
        """The schema revision in use, for `doctor`."""

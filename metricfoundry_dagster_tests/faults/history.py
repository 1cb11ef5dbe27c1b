"""What became of everything that was put in, as values: told by the catalog, the store, SQL and Dagster's own storage.

Put here what a history holds. How it is read is in `read_history.py`, what must hold in `judge_history.py`: so a test
can spoil a good history in any way and see the judge complain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from metricfoundry_dagster.domain.datasets import Dataset, Mode
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.ports.catalog import StageRecord

#: A file put in has this column of whole numbers; their sum is the checksum of its rows.
CHECKSUM_COLUMN = "value"


@dataclass(frozen=True, slots=True)
class PutIn:
    """One object that was put in, and what must be served of it: rows, and the sum of `CHECKSUM_COLUMN`."""

    uri: str
    datasource: str
    mode: Mode
    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class DatasetHistory:
    """One dataset: its jobs newest first, and for each published stage the catalog's record and the public manifest."""

    dataset: Dataset
    jobs: tuple[Job, ...]
    records: Mapping[Stage, StageRecord]
    manifests: Mapping[Stage, StageProduct]

    @property
    def name(self) -> str:
        """The dataset's id."""
        return self.dataset.dataset_id


@dataclass(frozen=True, slots=True)
class ServedRows:
    """What SQL answers of one `_dataset_id` of a datasource; one such value for each row of the answer."""

    datasource: str
    dataset_id: str
    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a datasource's current version, as the engine tells it."""

    datasource: str
    dataset_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One asset check of one partition in one run."""

    run_id: str
    check: str
    dataset_id: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Telling:
    """One run that tells of one partition: that a stage was materialized, or a check evaluated."""

    run_id: str
    what: str
    dataset_id: str


@dataclass(frozen=True, slots=True)
class DagsterFacts:
    """What Dagster's own storage says. `unfinished_runs` holds id and status of runs in no final state.

    `told` holds how often a run tells of a materialization (by the name of the stage) or of a check, for each partition.
    """

    materialized: Mapping[Stage, frozenset[str]]
    evaluations: frozenset[Evaluation]
    unfinished_runs: tuple[str, ...]
    told: Mapping[Telling, int]


@dataclass(frozen=True, slots=True)
class History:
    """All of it, at a moment when nothing is under way. `litter` counts what is only in the way, by kind."""

    datasets: tuple[DatasetHistory, ...]
    served: tuple[ServedRows, ...]
    members: tuple[Member, ...]
    dagster: DagsterFacts
    litter: Mapping[str, int]

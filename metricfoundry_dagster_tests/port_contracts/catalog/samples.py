"""Values to fill a catalog with. Every name that a test does not care about has a default."""

from datetime import UTC, datetime, timedelta

from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset, dataset_id_of
from metricfoundry_dagster.domain.errors import ErrorRecord, MetricFoundryError, Place
from metricfoundry_dagster.domain.jobs import Attempt, Job
from metricfoundry_dagster.domain.products import Column, Gate, ProductFile, Root, Stage, StageProduct, TableProduct
from metricfoundry_dagster.domain.served import Servable, ServedTable, Version
from metricfoundry_dagster.ports.catalog import Catalog, Claims, Versions
from metricfoundry_dagster.ports.object_store import ObjectInfo

NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
ERROR = ErrorRecord("csv.undecodable", "neither UTF-8 nor cp1252: \x00\udcff", Place(file="a.csv", line=3), "Save it as UTF-8.")


def dropped(name: str, etag: str = "1-1-1") -> ObjectInfo:
    """An object in the drop zone."""
    key = f"incoming/{name}"
    return ObjectInfo(key=key, uri=f"file:///srv/drop/{key}", etag=etag, size_bytes=10, modified_at=NOON)


def new_dataset(
    name: str = "a", *, datasource: str = "sales", mode: Mode = Mode.REPLACE, given_name: str = "", etag: str = "1-1-1"
) -> NewDataset:
    """A dataset about to be registered, as if `dropped(name, etag)` had arrived."""
    info = dropped(name, etag)
    return NewDataset(
        dataset_id=dataset_id_of(datasource, info.uri, info.etag),
        datasource=datasource,
        given_name=given_name or datasource,
        mode=mode,
        source_uri=info.uri,
        etag=info.etag,
        filename=f"{name}.csv",
        size_bytes=info.size_bytes,
    )


def registered(catalog: Catalog, name: str = "a", *, datasource: str = "sales", mode: Mode = Mode.REPLACE) -> Dataset:
    """A registered dataset with its job."""
    return catalog.register([new_dataset(name, datasource=datasource, mode=mode)], NOON)[0]


def begun(
    catalog: Catalog, dataset: Dataset, run_id: str = "run-1", *, job_id: str | None = None, parent: str | None = None
) -> Attempt:
    """The attempt of a run."""
    return catalog.open_job(dataset.dataset_id, run_id, job_id, parent, NOON)


def product(
    attempt: Attempt, stage: Stage = Stage.STAGED_PARQUET, *, rows: int = 5, rejected: int = 2, passed: bool = True
) -> StageProduct:
    """What a stage of that attempt made: one table of `rows`."""
    columns = (Column("id", "ID ", "int64", nullable=False), Column("column_2", None, "string", nullable=True))
    return StageProduct(
        stage=stage,
        dataset_id=attempt.dataset.dataset_id,
        attempt=attempt.number,
        files=(),
        tables=(TableProduct("t", columns, rows + rejected, rows, rejected), TableProduct("empty", (), 0, 0, 0, ERROR)),
        findings=(),
        gate=Gate(passed, "as the test wants it", None if passed else ERROR),
    )


def servable(
    dataset_id: str = "sales--aaaaaaaaaaaaaaaa",
    *,
    sequence: int = 1,
    attempt: int = 1,
    mode: Mode = Mode.REPLACE,
    datasource: str = "sales",
) -> Servable:
    """A dataset with one table of `sequence` rows, ready to be served."""
    file = ProductFile(
        Root.ARTIFACTS, f"datasets/{dataset_id}/validated/{attempt}/t/part-00000.parquet", "part", "t", sequence, 99
    )
    table = ServedTable(datasource, (Column("id", "id", "int64", nullable=False),), (file,), sequence)
    return Servable(datasource, mode, dataset_id, sequence, attempt, (table,))


def claim(catalog: Claims, limit: int = 1, now: datetime = NOON, batch_id: str | None = None) -> list[Job]:
    """Claim waiting jobs, the oldest first."""
    return catalog.claim_jobs({waiting.job_id: batch_id for waiting in catalog.waiting_jobs(limit, now)}, now)


def add_version(catalog: Versions, servable: Servable, now: datetime = NOON) -> tuple[Version, bool]:
    """Serve one dataset: the version that came with it, and whether readers see it. Raises what is wrong with it."""
    [outcome] = catalog.add_versions([servable], now)
    if isinstance(outcome, MetricFoundryError):
        raise outcome
    number, current = outcome
    return next(version for version in catalog.versions(servable.datasource) if version.number == number), current


def served_as(number: int, *, attempt: int = 1, mode: Mode = Mode.REPLACE) -> Servable:
    """The servable of the dataset that was registered as the `number`-th; letters tell them apart, from a."""
    letter = "abcdefghijklmnopqrstuvwxyz"[number - 1]
    return servable(f"sales--{letter * 16}", sequence=number, attempt=attempt, mode=mode)

"""Look up a dataset: everything that the catalog and its manifests say of it. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass

from metricfoundry_dagster.domain.datasets import DATASET_ID, Dataset, slug_of
from metricfoundry_dagster.domain.errors import NotFoundError
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.domain.products import ProductFile, Role, Stage, StageProduct
from metricfoundry_dagster.domain.served import Servable, Version
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A dataset, its jobs (newest first), what each stage published last, and its datasource's versions (newest first)."""

    dataset: Dataset
    jobs: tuple[Job, ...]
    products: Mapping[Stage, StageProduct]
    versions: tuple[Version, ...]
    current: Version | None

    @property
    def job(self) -> Job:
        """The newest job."""
        return self.jobs[0]

    @property
    def served(self) -> Servable | None:
        """The dataset as readers see it now; None when they do not."""
        members = self.current.members if self.current else ()
        return next((member for member in members if member.dataset_id == self.dataset.dataset_id), None)

    def files(self, role: Role) -> tuple[ProductFile, ...]:
        """All published files of one role."""
        return tuple(file for product in self.products.values() for file in product.files_of(role))


def look_up(ports: Ports, reference: str) -> DatasetView:
    """A dataset by its id, or the newest of a datasource by the datasource's name.

    Raises:
        NotFoundError: `dataset.not_found` or `datasource.not_found`.
    """
    dataset = find_dataset(ports, reference)
    products = {stage: read_product(dataset.dataset_id, stage, ports) for stage in Stage}
    return DatasetView(
        dataset=dataset,
        jobs=tuple(ports.catalog.jobs_of(dataset.dataset_id)),
        products={stage: product for stage, product in products.items() if product is not None},
        versions=tuple(ports.engine.versions(dataset.datasource)),
        current=ports.engine.current(dataset.datasource),
    )


def find_dataset(ports: Ports, reference: str) -> Dataset:
    """A dataset by its id, or the newest of a datasource. Raises as `look_up` does."""
    if DATASET_ID.fullmatch(reference):
        return ports.catalog.dataset(reference)
    slug = slug_of(reference)
    newest = ports.catalog.datasets(DatasetFilter(datasource=slug, limit=1))
    if not newest:
        raise NotFoundError("datasource.not_found", f"there is no dataset or datasource {reference!r}")
    return newest[0][0]

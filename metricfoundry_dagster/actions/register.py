"""Register a source that a person named: a path, or any address that the sources can read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metricfoundry_dagster.actions.name_arrival import stem_of
from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset, dataset_id_of, slug_of
from metricfoundry_dagster.domain.errors import ConflictError, Place, UserError
from metricfoundry_dagster.domain.jobs import MILESTONES_PERCENT, Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.object_store import ObjectInfo


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asks for beside the source; None takes what the datasource has, or the default."""

    datasource: str | None = None
    mode: Mode | None = None
    #: Name of a contract, `package.module:Model`, or path of a YAML file.
    contract: str | None = None
    #: Overrides of the detected recipe.
    recipe: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A dataset and its newest job. `already_there` means that the job is completed and nothing is left to do."""

    dataset: Dataset
    job: Job

    @property
    def already_there(self) -> bool:
        """The same bytes went through with the same wishes before."""
        return self.job.state is JobState.COMPLETED


def register_source(ports: Ports, uri: str, wishes: Wishes) -> Registration:
    """Register a source, or find it again: the same version of the same object is the same dataset.

    A dataset whose last job failed or was canceled, or that is now to be read or judged differently, gets a new
    job; one with a job under way keeps it. A bad contract is refused before anything is registered; a good one,
    like the recipe, is kept for the datasource's next files.

    Raises:
        NotFoundError: `contract.not_found`.
        ConflictError: `datasource.name_taken` or `datasource.mode_conflict`; `job.not_retryable` when wishes changed
            while a job is under way.
        UserError: `source.not_found`, `file.too_large`, `name.invalid` or `contract.invalid`.
    """
    info = ports.sources.stat(uri)
    _require_size(info, ports)
    given_name = stem_of(info.key) if wishes.datasource is None else wishes.datasource
    slug = slug_of(given_name)
    mode = _mode(slug, wishes.mode, ports)
    reference = _absolute(wishes.contract)
    contract_text = _checked_contract(reference, ports)
    new = NewDataset(
        dataset_id=dataset_id_of(slug, info.uri, info.etag),
        datasource=slug,
        given_name=given_name,
        mode=mode,
        source_uri=info.uri,
        etag=info.etag,
        filename=info.key,
        size_bytes=info.size_bytes,
        contract=reference,
        recipe=dict(wishes.recipe or {}),
    )
    return _settle(new, contract_text, ports)


def _require_size(info: ObjectInfo, ports: Ports) -> None:
    allowed_bytes = ports.limits.max_file_bytes
    if info.size_bytes > allowed_bytes:
        message = f"{info.key} has {info.size_bytes:,} bytes, {allowed_bytes:,} are allowed"
        raise UserError("file.too_large", message, place=Place(file=info.key))


def _mode(slug: str, asked: Mode | None, ports: Ports) -> Mode:
    kept = ports.catalog.mode(slug)
    if asked and kept and asked is not kept:
        raise ConflictError("datasource.mode_conflict", f"datasource {slug!r} is kept in mode {kept}, not {asked}")
    return kept or asked or Mode.REPLACE


def _absolute(reference: str | None) -> str | None:
    """A contract given as a file, spelled so that a worker in another directory finds it."""
    if reference is None or not (reference.endswith((".yaml", ".yml")) or "/" in reference):
        return reference
    return str(Path(reference).expanduser().absolute())


def _checked_contract(reference: str | None, ports: Ports) -> str | None:
    if reference is None:
        return None
    text = ports.contracts.read(reference)
    read_contract(text)
    return text


def _settle(new: NewDataset, contract_text: str | None, ports: Ports) -> Registration:
    """Register, keep what was asked for, and see that there is a job where there is work."""
    now = ports.clock.now()
    dataset = ports.catalog.register([new], now)[0]
    changed = _is_changed(dataset, new, contract_text, ports)
    job = ports.catalog.jobs_of(dataset.dataset_id)[0]
    if changed and job.state in {JobState.QUEUED, JobState.PROCESSING}:
        raise ConflictError("job.not_retryable", f"a job of {dataset.dataset_id} is {job.state}, with other wishes than these")
    # Wishes come before the job: whoever takes it must find them.
    if changed:
        dataset = ports.catalog.revise(dataset.dataset_id, new.contract or dataset.contract, new.recipe or dataset.recipe)
    if contract_text is not None and contract_text != ports.catalog.contract(dataset.datasource):
        ports.catalog.keep_contract(dataset.datasource, contract_text, now)
    if new.recipe and new.recipe != ports.catalog.recipe(dataset.datasource):
        ports.catalog.keep_recipe(dataset.datasource, new.recipe, now)
    if job.state in {JobState.FAILED, JobState.CANCELED} or (changed and job.state.ended) or _is_partial(job, ports):
        job = ports.catalog.request_job(dataset.dataset_id, now)
    return Registration(dataset, job)


def _is_partial(job: Job, ports: Ports) -> bool:
    """Whether the job was completed with some of the stages only, and the dataset was never served."""
    if job.state is not JobState.COMPLETED or job.progress_percent == MILESTONES_PERCENT[Stage.DRUID_DATASOURCE]:
        return False
    served = ports.catalog.stage(job.dataset_id, Stage.DRUID_DATASOURCE)
    return served is None or not served.passed


def _is_changed(dataset: Dataset, new: NewDataset, contract_text: str | None, ports: Ports) -> bool:
    """Whether a dataset that was known is asked for with another contract or recipe than before."""
    if new.recipe and new.recipe != dataset.recipe:
        return True
    if contract_text is None:
        return False
    return new.contract != dataset.contract or ports.catalog.contract(dataset.datasource) not in {None, contract_text}

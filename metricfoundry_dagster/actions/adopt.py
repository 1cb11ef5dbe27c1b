"""Adopt a source under a dataset id that a program chose, as runs launched through GraphQL bring it."""

from dataclasses import dataclass

from metricfoundry_dagster.domain.datasets import SLUG, Dataset, Mode, NewDataset, datasource_of, slug_of
from metricfoundry_dagster.domain.errors import NotFoundError, UserError
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.sources import Sources


@dataclass(frozen=True, slots=True)
class RemoteSource:
    """What a request from elsewhere says of its source. Nothing in it is trusted."""

    source_uri: str
    #: The name as a person would give it; it must have the slug that the dataset id begins with.
    datasource: str | None = None
    mode: str = "replace"
    #: Name of a contract that is known here; files and models are for people on this machine.
    contract: str | None = None


def adopt(ports: Ports, allowed: Sources, dataset_id: str, source: RemoteSource, *, run_id: str) -> Dataset:
    """Register the source as the dataset of this id; a known id of the same address is given back as it is.

    `allowed` reads only what a remote request may name. The new dataset's job waits for the run `run_id` alone.

    Raises:
        UserError: `name.invalid`; `request.invalid` for a mode, name or contract that may not be, and for an id that
            another source has; `source.not_found`, `source.not_allowed`.
        NotFoundError: `contract.not_found`.
    """
    slug = datasource_of(dataset_id)
    try:
        known = ports.catalog.dataset(dataset_id)
    except NotFoundError:
        pass
    else:
        return _require_same_source(known, allowed.uri_of(source.source_uri))
    info = allowed.stat(source.source_uri)
    new = NewDataset(
        dataset_id=dataset_id,
        datasource=slug,
        given_name=_given_name(source.datasource or slug, slug),
        mode=_mode(source.mode),
        source_uri=info.uri,
        etag=info.etag,
        filename=info.key.rpartition("/")[2],
        size_bytes=info.size_bytes,
        contract=_contract(source.contract, ports),
    )
    [dataset] = ports.catalog.register([new], ports.clock.now(), run_id)
    return _require_same_source(dataset, info.uri)


def _require_same_source(dataset: Dataset, uri: str) -> Dataset:
    """The dataset, unless its id is asked for with another source: its own bytes would go through unseen."""
    if dataset.source_uri != uri:
        message = f"{dataset.dataset_id} is the dataset of {dataset.source_uri!r}, not of {uri!r}"
        raise UserError("request.invalid", message, hint="Give another source a dataset id of its own.")
    return dataset


def _given_name(name: str, slug: str) -> str:
    if slug_of(name) != slug:
        message = f"{name!r} has the slug {slug_of(name)!r}, but the dataset id begins with {slug!r}"
        raise UserError("request.invalid", message)
    return name


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise UserError("request.invalid", f"{text!r} is no mode; it is replace or append") from None


def _contract(name: str | None, ports: Ports) -> str | None:
    if name is None:
        return None
    if not SLUG.fullmatch(name):
        raise UserError("request.invalid", f"{name!r} is not the name of a contract that is known here")
    read_contract(ports.contracts.read(name))
    return name

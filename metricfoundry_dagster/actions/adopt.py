"""Adopt a source under a dataset id that a program chose, as runs launched through GraphQL bring it."""

from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset, datasource_of, slug_of
from metricfoundry_dagster.domain.errors import NotFoundError, UserError
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.ports.bundle import Ports


def adopt(ports: Ports, dataset_id: str, source_uri: str, datasource: str | None, mode: str, contract: str | None) -> Dataset:
    """Register the source as the dataset of this id; a known id is given back as it is.

    `datasource` is the name as a person would give it, and must have the slug that the id begins with.

    Raises:
        UserError: `name.invalid`, `request.invalid` for the mode or a name that does not fit the id,
            `source.not_found`, `source.not_allowed`, `file.too_large` later in intake.
        NotFoundError: `contract.not_found`.
    """
    slug = datasource_of(dataset_id)
    try:
        return ports.catalog.dataset(dataset_id)
    except NotFoundError:
        pass
    info = ports.sources.stat(source_uri)
    given_name = datasource or slug
    if slug_of(given_name) != slug:
        message = f"{given_name!r} has the slug {slug_of(given_name)!r}, but the dataset id begins with {slug!r}"
        raise UserError("request.invalid", message)
    if contract is not None:
        read_contract(ports.contracts.read(contract))
    new = NewDataset(
        dataset_id=dataset_id,
        datasource=slug,
        given_name=given_name,
        mode=_mode(mode),
        source_uri=info.uri,
        etag=info.etag,
        filename=info.key.rpartition("/")[2],
        size_bytes=info.size_bytes,
        contract=contract,
    )
    return ports.catalog.register([new], ports.clock.now())[0]


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise UserError("request.invalid", f"{text!r} is no mode; it is replace or append") from None

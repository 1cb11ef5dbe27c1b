"""Discover what was dropped: every complete new object below `incoming/` becomes a dataset with a waiting job.

Submitting the jobs is the sensor's work; here nothing is started.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from metricfoundry_dagster.actions.name_arrival import datasource_name_of, is_passed_over
from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset, dataset_id_of, slug_of
from metricfoundry_dagster.domain.errors import ErrorRecord, UserError
from metricfoundry_dagster.domain.layout import INCOMING
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.object_store import ObjectInfo


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that cannot become a dataset under its name. It is refused again at every look until it is renamed."""

    uri: str
    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one look at the drop zone brought. `waiting` counts complete objects left for the next look."""

    registered: tuple[Dataset, ...]
    refused: tuple[Refusal, ...]
    waiting: int


def discover(ports: Ports, *, max_registrations: int) -> Discovery:
    """Look at the drop zone and register what is complete and new, at most `max_registrations` datasets.

    An object whose name cannot be used is a refusal; it holds up no other. Doing this twice, or in two processes
    at once, registers nothing twice: the dataset's id comes from the object's address and ETag.

    Raises:
        WorldError: when the store or the catalog is away.
    """
    seen = [info for info in ports.store.list(Root.UPLOADS, INCOMING) if not is_passed_over(info.key)]
    complete = ports.catalog.look(seen, ports.clock.now())
    registered: list[Dataset] = []
    refused: list[Refusal] = []
    position = 0
    # Objects that are refused come back at every look, and must not use up the room of others.
    while position < len(complete) and len(registered) < max_registrations:
        batch = complete[position : position + max_registrations - len(registered)]
        position += len(batch)
        named, badly_named = _name_all(batch, ports)
        accepted, taken = _register(named, ports)
        registered += accepted
        refused += badly_named + taken
    return Discovery(tuple(registered), tuple(refused), waiting=len(complete) - position)


def _name_all(objects: Sequence[ObjectInfo], ports: Ports) -> tuple[list[NewDataset], list[Refusal]]:
    named: list[NewDataset] = []
    refused: list[Refusal] = []
    modes: dict[str, Mode] = {}
    for info in objects:
        given_name = datasource_name_of(info.key)
        try:
            slug = slug_of(given_name)
        except UserError as error:
            refused.append(Refusal(info.uri, error.record))
            continue
        if slug not in modes:
            modes[slug] = ports.catalog.mode(slug) or Mode.REPLACE
        named.append(_new_dataset(info, slug, given_name, modes[slug]))
    return named, refused


def _new_dataset(info: ObjectInfo, slug: str, given_name: str, mode: Mode) -> NewDataset:
    return NewDataset(
        dataset_id=dataset_id_of(slug, info.uri, info.etag),
        datasource=slug,
        given_name=given_name,
        mode=mode,
        source_uri=info.uri,
        etag=info.etag,
        filename=info.key.rpartition("/")[2],
        size_bytes=info.size_bytes,
    )


def _register(batch: Sequence[NewDataset], ports: Ports) -> tuple[list[Dataset], list[Refusal]]:
    """Register all at once; when one stands in the way, find it by halving, so that the others cost little."""
    try:
        return ports.catalog.register(batch, ports.clock.now()), []
    except UserError as error:
        if len(batch) == 1:
            return [], [Refusal(batch[0].source_uri, error.record)]
    middle = len(batch) // 2
    registered, refused = _register(batch[:middle], ports)
    more_registered, more_refused = _register(batch[middle:], ports)
    return registered + more_registered, refused + more_refused

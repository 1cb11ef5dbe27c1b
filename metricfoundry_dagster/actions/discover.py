"""Discover what was dropped: every complete new object below `incoming/` becomes a dataset with a waiting job.

Which keys a look reads is said in `look_around`; submitting the jobs is the sensor's work, here nothing is started.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from metricfoundry_dagster.actions.look_around import look_around
from metricfoundry_dagster.actions.look_cursor import LookCursor
from metricfoundry_dagster.actions.move_on import move_on
from metricfoundry_dagster.actions.name_arrival import datasource_name_of, require_text
from metricfoundry_dagster.domain.datasets import Dataset, Mode, NewDataset, dataset_id_of, same_name, slug_of
from metricfoundry_dagster.domain.errors import ConflictError, ErrorRecord, UserError, WorldError
from metricfoundry_dagster.domain.layout import INCOMING
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.object_store import ObjectInfo


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that cannot become a dataset under its name, or a folder that cannot be read: told at every look."""

    uri: str
    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one look at the drop zone brought.

    `waiting` counts complete objects that were read and left for the next look, which is given `cursor`. `read_keys`
    counts what was read.
    """

    registered: tuple[Dataset, ...]
    refused: tuple[Refusal, ...]
    waiting: int
    cursor: str = ""
    read_keys: int = 0


def discover(
    ports: Ports, *, max_registrations: int, quiet: timedelta, max_keys: int = 10_000, cursor: str | None = None
) -> Discovery:
    """Look at the drop zone and register what is complete and new, at most `max_registrations` datasets.

    An object whose name cannot be used, and a folder that cannot be read, is a refusal; it holds up no other. Doing
    this twice, or in two processes at once, registers nothing twice: the dataset's id comes from the object's address
    and ETag. `quiet` is how long an object must have stayed as it is. `max_keys` bounds what is read; where a zone
    holds more, `cursor`, that the look before gave, says where to go on, and without it the beginning is read.

    Raises:
        WorldError: when the store or the catalog is away.
    """
    unreadable: list[WorldError] = []
    stood = LookCursor.from_text(cursor)
    look = look_around(ports.store.browse(Root.UPLOADS, INCOMING, unreadable.append), ports.catalog, stood, max_keys)
    sighting = ports.catalog.look(look.objects, ports.clock.now(), quiet)
    named, refused = _name_all(sighting.complete, ports)
    refused += [Refusal(error.record.place.file or "", error.record) for error in unreadable]
    registered, taken, waiting = _register_up_to(max_registrations, named, ports)
    key_of = {info.uri: info.key for info in (*sighting.complete, *sighting.incomplete)}
    unfinished = {info.key for info in sighting.incomplete} | {key_of[new.source_uri] for new in waiting}
    finished = {key_of[dataset.source_uri] for dataset in registered}
    moved = move_on(stood, look, max_keys, unfinished=unfinished, finished=finished)
    return Discovery(tuple(registered), tuple(refused + taken), len(waiting), moved.to_text(), look.read_keys)


def _register_up_to(
    most: int, named: Sequence[NewDataset], ports: Ports
) -> tuple[list[Dataset], list[Refusal], Sequence[NewDataset]]:
    """Register the first of these; give what was registered, what was refused, and what is left."""
    registered: list[Dataset] = []
    refused: list[Refusal] = []
    position = 0
    # Objects that are refused come back at every look, and must not use up the room of others.
    while position < len(named) and len(registered) < most:
        batch = named[position : position + most - len(registered)]
        position += len(batch)
        accepted, taken = _register(batch, ports)
        registered += accepted
        refused += taken
    return registered, refused, named[position:]


def _name_all(objects: Sequence[ObjectInfo], ports: Ports) -> tuple[list[NewDataset], list[Refusal]]:
    """What can be registered, in order, and what cannot: names that are taken are found before they cost a transaction."""
    slugged: list[tuple[ObjectInfo, str, str]] = []
    refused: list[Refusal] = []
    for info in objects:
        given_name = datasource_name_of(info.key)
        try:
            slugged.append((info, given_name, slug_of(require_text(given_name, info.key))))
        except UserError as error:
            refused.append(Refusal(info.uri, error.record))
    kept = ports.catalog.names_and_modes({slug for _, _, slug in slugged})
    named: list[NewDataset] = []
    for info, given_name, slug in slugged:
        kept_name, mode = kept.setdefault(slug, (given_name, Mode.REPLACE))
        if same_name(given_name, kept_name):
            named.append(_new_dataset(info, slug, given_name, mode))
        else:
            refused.append(_name_taken(info, given_name, kept_name, slug))
    return named, refused


def _name_taken(info: ObjectInfo, given_name: str, kept_name: str, slug: str) -> Refusal:
    message = f"{given_name!r} and {kept_name!r} would both be the datasource {slug!r}"
    return Refusal(info.uri, ConflictError("datasource.name_taken", message).record)


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
    """Register all at once; when another process was quicker with a name, find by halving what stands in the way."""
    try:
        return ports.catalog.register(batch, ports.clock.now()), []
    except UserError as error:
        if len(batch) == 1:
            return [], [Refusal(batch[0].source_uri, error.record)]
    middle = len(batch) // 2
    registered, refused = _register(batch[:middle], ports)
    more_registered, more_refused = _register(batch[middle:], ports)
    return registered + more_registered, refused + more_refused

"""How versions are added for many datasets at once, and which datasets are refused.

The functions work inside the caller's transaction and look everything up together, so that five hundred datasets
take as many statements as one does. What a version and its pointer mean is said in `versions.py`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from metricfoundry_dagster.adapters.catalog.database import Database, in_chunks
from metricfoundry_dagster.adapters.catalog.schema import datasets, datasources, jobs, served_pointers, served_versions
from metricfoundry_dagster.adapters.catalog.served_json import servable_to_json
from metricfoundry_dagster.adapters.catalog.version_reading import member_numbers
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, MetricFoundryError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.served import Servable

Outcome = tuple[int, bool] | MetricFoundryError


@dataclass(slots=True)
class _Line:
    """The versions of one datasource while more are added: what was served last, and what readers are to see."""

    mode: str
    last_number: int
    current_number: int | None
    current_sequence: int | None
    added: dict[int, dict[str, object]] = field(default_factory=dict)
    #: The versions that the members which readers see came with, at the end; None until somebody asks.
    shown_numbers: set[int] | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog knows of the datasets. Datasets and jobs are locked until the transaction ends."""

    begun_attempts: dict[str, int]
    job_states: dict[tuple[str, int], str]
    registered_modes: dict[str, str]
    #: By datasource and dataset, the number of the version that each attempt came with.
    served_numbers: dict[tuple[str, str], dict[int, int]]


def add_versions(connection: Connection, database: Database, servables: Sequence[Servable], now: datetime) -> list[Outcome]:
    """Add a version for every servable that may be served, and move the pointers once. Outcomes in the order given."""
    known = _look_up(connection, servables)
    in_order = sorted(enumerate(servables), key=lambda each: (each[1].sequence, each[1].attempt))
    taken: dict[int, int | MetricFoundryError] = {}
    for position, servable in in_order:
        if (refusal := _refusal(servable, known)) is not None:
            taken[position] = refusal
    lines = _lock_lines(connection, database, [servable for position, servable in in_order if position not in taken])
    for position, servable in in_order:
        if position not in taken:
            served = known.served_numbers[servable.datasource, servable.dataset_id]
            taken[position] = _take_number(servable, served, lines[servable.datasource], now)
    _write(connection, lines)
    return [_outcome(connection, servable, taken[position], lines) for position, servable in enumerate(servables)]


def _look_up(connection: Connection, servables: Sequence[Servable]) -> _Known:
    """Lock in the order that `Database.writing` asks for, and sorted: no two of us wait for each other."""
    dataset_ids = sorted({servable.dataset_id for servable in servables})
    return _Known(
        begun_attempts=_lock_datasets(connection, dataset_ids),
        job_states=_lock_jobs(connection, dataset_ids),
        registered_modes=_read_modes(connection, servables),
        served_numbers=_read_served(connection, servables),
    )


def _lock_datasets(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, int]:
    """Hold registered datasets, so that no newer attempt begins before this one is served or refused."""
    begun: dict[str, int] = {}
    for chunk in in_chunks(dataset_ids):
        wanted = select(datasets.c.dataset_id, datasets.c.current_attempt).where(datasets.c.dataset_id.in_(chunk))
        locked = connection.execute(wanted.order_by(datasets.c.dataset_id).with_for_update(key_share=True))
        begun.update((row.dataset_id, row.current_attempt) for row in locked)
    return begun


def _lock_jobs(connection: Connection, dataset_ids: Sequence[str]) -> dict[tuple[str, int], str]:
    """Hold the jobs: whoever ends one now does so after its dataset was served."""
    states: dict[tuple[str, int], str] = {}
    for chunk in in_chunks(dataset_ids):
        wanted = select(jobs.c.dataset_id, jobs.c.attempt, jobs.c.state).where(jobs.c.dataset_id.in_(chunk))
        locked = connection.execute(wanted.order_by(jobs.c.dataset_id, jobs.c.number).with_for_update(key_share=True))
        states.update(((row.dataset_id, row.attempt), row.state) for row in locked)
    return states


def _read_modes(connection: Connection, servables: Sequence[Servable]) -> dict[str, str]:
    modes: dict[str, str] = {}
    for chunk in in_chunks({servable.datasource for servable in servables}):
        wanted = select(datasources.c.slug, datasources.c.mode).where(datasources.c.slug.in_(chunk))
        modes.update((row.slug, row.mode) for row in connection.execute(wanted))
    return modes


def _lock_lines(connection: Connection, database: Database, in_order: Sequence[Servable]) -> dict[str, _Line]:
    """Lines of all datasources that get a version now, begun in the mode of their first dataset if they are new."""
    mode_of = {servable.datasource: servable.mode for servable in reversed(in_order)}
    slugs = sorted(mode_of)
    first: list[dict[str, object]] = [
        {"datasource": slug, "mode": mode_of[slug], "last_number": 0, "current_number": None} for slug in slugs
    ]
    database.insert_new(connection, served_pointers, first)
    lines: dict[str, _Line] = {}
    for chunk in in_chunks(slugs):
        wanted = select(served_pointers).where(served_pointers.c.datasource.in_(chunk)).order_by(served_pointers.c.datasource)
        for row in connection.execute(wanted.with_for_update(key_share=True)):
            lines[row.datasource] = _Line(row.mode, row.last_number, row.current_number, None)
        at_pointer = served_versions.c.datasource == served_pointers.c.datasource
        joined = select(served_versions.c.datasource, served_versions.c.sequence).join(
            served_pointers, at_pointer & (served_versions.c.number == served_pointers.c.current_number)
        )
        for row in connection.execute(joined.where(served_pointers.c.datasource.in_(chunk))):
            lines[row.datasource].current_sequence = row.sequence
    return lines


def _read_served(connection: Connection, servables: Sequence[Servable]) -> dict[tuple[str, str], dict[int, int]]:
    numbers: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    key = served_versions.c.datasource, served_versions.c.dataset_id
    wanted = select(*key, served_versions.c.attempt, served_versions.c.number)
    for chunk in in_chunks({(servable.datasource, servable.dataset_id) for servable in servables}):
        for row in connection.execute(wanted.where(tuple_(*key).in_(chunk))):
            numbers[row.datasource, row.dataset_id][row.attempt] = row.number
    return numbers


def _refusal(servable: Servable, known: _Known) -> MetricFoundryError | None:
    """What forbids that the dataset is served; None when nothing does."""
    served = known.served_numbers[servable.datasource, servable.dataset_id]
    newest = max(known.begun_attempts.get(servable.dataset_id, 0), max(served, default=0))
    this = f"attempt {servable.attempt} of {servable.dataset_id}"
    if newest > servable.attempt:
        return FencedError("attempt.fenced", f"{this} may not be served, there is attempt {newest}")
    state = known.job_states.get((servable.dataset_id, servable.attempt))
    if state is not None and state != JobState.PROCESSING:
        return FencedError("attempt.fenced", f"the job of {this} is {state} and may not serve")
    registered = known.registered_modes.get(servable.datasource, servable.mode)
    return _mode_conflict(servable, registered) if registered != servable.mode else None


def _take_number(servable: Servable, served: dict[int, int], line: _Line, now: datetime) -> int | MetricFoundryError:
    """The version that came with this attempt; a new one at the end of its line if there is none yet."""
    if line.mode != servable.mode:
        return _mode_conflict(servable, line.mode)
    if servable.attempt in served:
        return served[servable.attempt]
    line.last_number += 1
    line.added[line.last_number] = _row(servable, line.last_number, line.current_number, now)
    served[servable.attempt] = line.last_number
    if servable.mode is Mode.APPEND or line.current_sequence is None or line.current_sequence <= servable.sequence:
        line.current_number, line.current_sequence = line.last_number, servable.sequence
    return line.last_number


def _write(connection: Connection, lines: dict[str, _Line]) -> None:
    changed = {slug: line for slug, line in sorted(lines.items()) if line.added}
    if changed:
        connection.execute(insert(served_versions), [row for line in changed.values() for row in line.added.values()])
        moved = [
            {"slug": slug, "last_number": line.last_number, "current_number": line.current_number}
            for slug, line in changed.items()
        ]
        connection.execute(update(served_pointers).where(served_pointers.c.datasource == bindparam("slug")), moved)


def _outcome(connection: Connection, servable: Servable, taken: int | MetricFoundryError, lines: dict[str, _Line]) -> Outcome:
    """Whether readers see the dataset is told for the end of the transaction, when all pointers have moved."""
    if isinstance(taken, MetricFoundryError):
        return taken
    line = lines[servable.datasource]
    if servable.mode is Mode.REPLACE or taken == line.current_number:
        return taken, taken == line.current_number
    if taken in line.added:
        return taken, True
    if line.shown_numbers is None:
        current = line.current_number
        line.shown_numbers = set(member_numbers(connection, servable.datasource, current).values()) if current else set()
    return taken, taken in line.shown_numbers


def _mode_conflict(servable: Servable, kept: str) -> ConflictError:
    message = f"datasource {servable.datasource!r} is kept in mode {kept}, not {servable.mode}"
    return ConflictError("datasource.mode_conflict", message)


def _row(servable: Servable, number: int, before_number: int | None, now: datetime) -> dict[str, object]:
    return {
        "datasource": servable.datasource,
        "number": number,
        "before_number": before_number,
        "dataset_id": servable.dataset_id,
        "attempt": servable.attempt,
        "sequence": servable.sequence,
        "servable": servable_to_json(servable),
        "created_at": now,
    }

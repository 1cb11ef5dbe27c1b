"""One writer's turn at one datasource: datasets go in, or a version goes back, and the catalog records it."""

from collections.abc import Collection, Sequence

from metricfoundry_dagster.adapters.druid_measuring import Measured, measure_all
from metricfoundry_dagster.adapters.druid_parts import DruidParts
from metricfoundry_dagster.adapters.druid_putting_in import (
    add_rows,
    finish_added,
    finish_in_place,
    names_in_place,
    names_of,
    note_before,
    put_in_place,
)
from metricfoundry_dagster.adapters.druid_settling import settle
from metricfoundry_dagster.adapters.druid_take_out import take_out
from metricfoundry_dagster.adapters.druid_task_runs import await_tasks
from metricfoundry_dagster.adapters.druid_turns import announce, announce_rollback, cleared_up, kept_valid
from metricfoundry_dagster.domain.announcements import Announced, Announcement
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import FencedError, MetricFoundryError
from metricfoundry_dagster.domain.served import Servable, Serving, Version

Outcome = Serving | MetricFoundryError
MeasuredServable = tuple[Servable, Measured]
#: Turns that are lost to others before a writer gives up; each time the catalog says anew what may be served.
_MAX_TURNS = 10


def serve_datasource(parts: DruidParts, datasets: Sequence[MeasuredServable]) -> list[Outcome]:
    """Serve datasets of one datasource, in one task for as many as can share it; outcomes in their order.

    Raises:
        WorldError: Druid or the catalog does not do what it should; any of the datasets may be served already.
    """
    servables = [servable for servable, _ in datasets]
    for turn in range(1, _MAX_TURNS + 1):
        announced = announce(parts, servables)
        own = announced.own
        if own is None:
            return _outcomes_without_work(servables, announced)
        if own.tasks and not _can_go_on(parts, own):
            settle(parts, own)
            continue
        try:
            with cleared_up(parts, own):
                _put_in(parts, own, _chosen(announced, datasets))
                return _record(parts, own, servables)
        except FencedError:
            if turn == _MAX_TURNS:
                raise
    raise FencedError("attempt.fenced", f"{servables[0].datasource} was taken over {_MAX_TURNS} times")


def go_back(parts: DruidParts, datasource: str) -> Version:
    """Let readers see the version before again. Raises as `ServingEngine.rollback`, and as `serve_datasource`."""
    own = announce_rollback(parts, datasource).own
    if own is None:
        raise FencedError("attempt.fenced", f"the rollback of {datasource} was taken over")
    with kept_valid(parts, own), cleared_up(parts, own, always=True):
        versions = {version.number: version for version in parts.catalog.versions(datasource)}
        target = versions[own.target_number or 0]
        current = parts.catalog.current_version(datasource)
        if target.members[0].mode is Mode.REPLACE:
            _put_in_place_of(parts, own, _measured(parts, target.members)[0], current)
        else:
            shown = current.members if current else ()
            gone = [member for member in shown if member not in target.members]
            returned = [member for member in target.members if member not in shown]
            _exchange(parts, own, gone, _measured(parts, returned))
        return parts.catalog.conclude_rollback(own)


def _chosen(announced: Announced, datasets: Sequence[MeasuredServable]) -> list[MeasuredServable]:
    """What is to go into Druid: all that is new, in replace mode the one alone that readers are to see."""
    new = [(each, outlook) for each, outlook in zip(datasets, announced.outlooks, strict=True) if outlook.is_new]
    return [each for each, outlook in new if outlook.current or each[0].mode is Mode.APPEND]


def _can_go_on(parts: DruidParts, own: Announcement) -> bool:
    """Whether an earlier try of ours got as far as posting everything, and nothing failed since."""
    states = [parts.overlord.state(task.task_id) for task in own.tasks]
    posted = all(state is not None and state.code != "FAILED" for state in states)
    return posted and any(task.purpose == "put in" for task in own.tasks)


def _put_in(parts: DruidParts, own: Announcement, chosen: Sequence[MeasuredServable]) -> None:
    if not chosen:
        return
    current = parts.catalog.current_version(own.datasource) if _may_replace_rows(chosen) else None
    if chosen[0][0].mode is Mode.REPLACE:
        _put_in_place_of(parts, own, chosen[0], current)
        return
    new_ids = {servable.dataset_id for servable, _ in chosen}
    gone = [member for member in (current.members if current else ()) if member.dataset_id in new_ids]
    _exchange(parts, own, gone, chosen)


def _may_replace_rows(chosen: Sequence[MeasuredServable]) -> bool:
    """Reading a version of many appended datasets is worth it only when one of them may be there already."""
    return any(servable.mode is Mode.REPLACE or servable.attempt > 1 for servable, _ in chosen)


def _put_in_place_of(parts: DruidParts, own: Announcement, dataset: MeasuredServable, current: Version | None) -> None:
    servable, measured = dataset
    noted = note_before(parts, own, names_in_place(servable, current))
    before = noted.segments_before or {}
    if noted.tasks:
        await_tasks(parts, noted, noted.tasks)
        finish_in_place(parts, noted, servable, before)
    else:
        put_in_place(parts, noted, servable, measured, before)


def _exchange(parts: DruidParts, own: Announcement, gone: Sequence[Servable], come: Sequence[MeasuredServable]) -> None:
    """Take rows out, then put rows in: in between readers see neither, but never both.

    Rows of those that come are taken out as well when they are there already although no version says so, as after the
    catalog was restored from an older copy.
    """
    servables = [servable for servable, _ in come]
    noted = note_before(parts, own, names_of([*gone, *servables]))
    if noted.tasks:
        await_tasks(parts, noted, noted.tasks)
        finish_added(parts, servables)
        return
    for name in sorted(names_of([*gone, *servables])):
        known = {member.dataset_id for member in gone if name in names_of([member])}
        to_come = {servable.dataset_id for servable in servables if name in names_of([servable])}
        if known or _are_seen(parts, name, to_come):
            noted = take_out(parts, noted, name, known | to_come)
    add_rows(parts, noted, come, noted.segments_before or {})


def _are_seen(parts: DruidParts, name: str, dataset_ids: Collection[str]) -> bool:
    return any(rows.asked_for for rows in parts.segments.seen(name, dataset_ids).values())


def _record(parts: DruidParts, own: Announcement, servables: Sequence[Servable]) -> list[Outcome]:
    """Let the catalog record what Druid holds; what it refuses now, as what was canceled meanwhile, is taken out."""
    added = parts.catalog.add_versions(servables, parts.clock.now())
    standing = parts.catalog.announcement(own.datasource)
    if standing is not None and standing.announcement_id == own.announcement_id:
        recorded = parts.catalog.recorded(standing)
        if not recorded.issuperset(standing.members) or not parts.catalog.withdraw(standing):
            settle(parts, standing)
    return [
        outcome if isinstance(outcome, MetricFoundryError) else Serving(servable, *outcome)
        for servable, outcome in zip(servables, added, strict=True)
    ]


def _outcomes_without_work(servables: Sequence[Servable], announced: Announced) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for servable, outlook in zip(servables, announced.outlooks, strict=True):
        outcomes.append(outlook.error or Serving(servable, outlook.number or 0, outlook.current))
    return outcomes


def _measured(parts: DruidParts, servables: Sequence[Servable]) -> list[MeasuredServable]:
    measured: list[MeasuredServable] = []
    for servable, found in zip(servables, measure_all(parts.store, servables), strict=True):
        if isinstance(found, MetricFoundryError):
            raise found
        measured.append((servable, found))
    return measured

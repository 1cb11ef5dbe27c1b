"""Putting datasets into Druid under an announcement, and waiting until readers see exactly them."""

from collections.abc import Iterable, Mapping, Sequence

from metricfoundry_dagster.adapters.druid_measuring import Measured
from metricfoundry_dagster.adapters.druid_parts import DruidParts, wait_until
from metricfoundry_dagster.adapters.druid_planning import plan_to_append, plan_to_replace
from metricfoundry_dagster.adapters.druid_task_runs import carry_out
from metricfoundry_dagster.domain.announcements import Announcement
from metricfoundry_dagster.domain.errors import FencedError, WorldError
from metricfoundry_dagster.domain.served import Servable, Version
from metricfoundry_dagster.pipeline.serving.druid_spec import DATASET_ID, TIME

Segments = Mapping[str, Iterable[str]]
#: SQL learns of new columns some time after the rows; one that holds no value it may never learn of.
_COLUMNS_SECONDS = 90.0


def note_before(parts: DruidParts, announcement: Announcement, names: Iterable[str]) -> Announcement:
    """Note which segments of these tables are used, unless that was noted before."""
    if announcement.segments_before is not None:
        return announcement
    return parts.catalog.note(announcement, segments_before={name: parts.segments.used(name) for name in names})


def names_of(servables: Iterable[Servable]) -> set[str]:
    """The served names of all tables."""
    return {table.name for servable in servables for table in servable.tables}


def names_in_place(servable: Servable, current: Version | None) -> set[str]:
    """The tables that change when a dataset takes the place of what is current: its own, and those that vanish."""
    return names_of([servable, *(current.members if current else ())])


def put_in_place(parts: DruidParts, announcement: Announcement, servable: Servable, measured: Measured, before: Segments) -> None:
    """Let the dataset take the place of everything that `before`, the used segments of its tables and others, holds."""
    done = carry_out(parts, announcement, plan_to_replace(parts, announcement, servable, measured, before))
    finish_in_place(parts, done, servable, before)


def finish_in_place(parts: DruidParts, announcement: Announcement, servable: Servable, before: Segments) -> None:
    """What follows when the tasks have succeeded: wait for the new rows, hide the old ones for good, wait again.

    Raises:
        FencedError: `attempt.fenced` when the announcement stands no more.
        WorldError: `druid.not_loaded`.
    """
    rows_of = {table.name: table.rows for table in servable.tables if table.rows}
    wait_until(lambda: _unseen(parts, rows_of, before), parts.timeouts.load_seconds)
    for name, ids in before.items():
        old = parts.segments.used(name).intersection(ids)
        if not parts.catalog.stands(announcement):
            raise FencedError("attempt.fenced", f"what was announced for {announcement.datasource} was taken over")
        parts.segments.mark_unused(name, old)
    wait_until(lambda: _still_seen(parts, before), parts.timeouts.load_seconds)
    _wait_for_rows(parts, [servable])


def add_rows(
    parts: DruidParts, announcement: Announcement, servables: Sequence[tuple[Servable, Measured]], before: Segments
) -> Announcement:
    """Add the rows of datasets that readers see nothing of."""
    done = carry_out(parts, announcement, plan_to_append(parts, announcement, servables, before))
    finish_added(parts, [servable for servable, _ in servables])
    return done


def finish_added(parts: DruidParts, servables: Sequence[Servable]) -> None:
    """What follows when the tasks have succeeded: wait until readers see the rows. Raises WorldError `druid.not_loaded`."""
    _wait_for_rows(parts, servables)


def _wait_for_rows(parts: DruidParts, servables: Sequence[Servable]) -> None:
    wanted: dict[str, dict[str, int]] = {}
    columns: dict[str, set[str]] = {}
    for servable in servables:
        for table in servable.tables:
            if table.rows:
                wanted.setdefault(table.name, {})[servable.dataset_id] = table.rows
                named = {column.name for column in table.columns if column.type != "null"}
                columns.setdefault(table.name, {DATASET_ID}).update(named - {TIME})
    wait_until(lambda: _miscounted(parts, wanted), parts.timeouts.load_seconds)
    try:
        wait_until(lambda: _unknown_columns(parts, columns), min(_COLUMNS_SECONDS, parts.timeouts.load_seconds))
    except WorldError as error:
        if error.code != "druid.not_loaded":
            raise


def _unseen(parts: DruidParts, rows_of: Mapping[str, int], before: Segments) -> str | None:
    for name, rows in rows_of.items():
        old = set(before.get(name, ()))
        found = sum(seen.rows for segment_id, seen in parts.segments.seen(name).items() if segment_id not in old)
        if found != rows:
            return f"{found:,} of {rows:,} rows can be seen in {name}"
    return None


def _still_seen(parts: DruidParts, before: Segments) -> str | None:
    for name, ids in before.items():
        old = set(ids)
        found = sum(seen.rows for segment_id, seen in parts.segments.seen(name).items() if segment_id in old) if old else 0
        if found:
            return f"{found:,} rows that were replaced can still be seen in {name}"
    return None


def _miscounted(parts: DruidParts, wanted: Mapping[str, Mapping[str, int]]) -> str | None:
    for name, rows_of in wanted.items():
        counted = parts.sql.count(name, rows_of)
        if counted is None:
            return f"SQL does not know {name} yet"
        wrong = sorted(dataset_id for dataset_id, rows in rows_of.items() if counted[dataset_id] != rows)
        if wrong:
            first = f"{counted[wrong[0]]:,} of {rows_of[wrong[0]]:,} rows of {wrong[0]}"
            return f"{first} can be queried in {name}" + (
                f", and {len(wrong) - 1:,} more datasets are not right" if wrong[1:] else ""
            )
    return None


def _unknown_columns(parts: DruidParts, columns: Mapping[str, set[str]]) -> str | None:
    for name, wanted in columns.items():
        if missing := wanted - parts.sql.known_columns(name):
            return f"SQL does not know {min(missing)!r} of {name} yet"
    return None

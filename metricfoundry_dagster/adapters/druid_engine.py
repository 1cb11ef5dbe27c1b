"""Serving in Apache Druid: what is about to be done stands in the catalog before Druid is told, and is recorded after.

Readers ask Druid directly, at any time, so a dataset is seen a moment before its version is recorded; whatever dies in
that moment is settled by the next writer. Who may write when is `druid_turns`, what one turn does `druid_serving`.
"""

import random
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from metricfoundry_dagster.adapters.druid_measuring import Measured, measure_all
from metricfoundry_dagster.adapters.druid_parts import DruidParts, DruidTimeouts
from metricfoundry_dagster.adapters.druid_putting_in import names_of
from metricfoundry_dagster.adapters.druid_serving import Outcome, go_back, serve_datasource
from metricfoundry_dagster.adapters.druid_settling import settle
from metricfoundry_dagster.domain.announcements import Announcement
from metricfoundry_dagster.domain.errors import MetricFoundryError, WorldError
from metricfoundry_dagster.domain.served import QueryAnswer, Servable, Serving, Version
from metricfoundry_dagster.ports.serving_engine import ServingEngine

#: Each takes a slot of Druid's workers.
_DATASOURCES_AT_ONCE = 3
#: When every datasource fails for one of these, it is Druid or the catalog and not the datasets.
AWAY_FOR_ALL = frozenset(
    {"catalog.unreachable", "druid.busy", "druid.not_loaded", "druid.task_failed", "druid.unreachable", "store.unreachable"}
)


class DruidEngine(ServingEngine):
    """Implements `ports.serving_engine.ServingEngine`; the rules of versions are the catalog's."""

    def __init__(self, parts: DruidParts) -> None:
        self._parts = parts

    def serve_all(self, servables: Sequence[Servable]) -> list[Outcome]:
        """As the port says. Datasets of one datasource go into Druid together, several datasources beside each other.

        What keeps one datasource is the outcome of its datasets alone: also `druid.refused`, and those of `AWAY_FOR_ALL`.

        Raises:
            WorldError: one of `AWAY_FOR_ALL`, when no datasource could be served.
        """
        outcomes: dict[int, Outcome] = {}
        groups: dict[str, list[tuple[int, Servable, Measured]]] = {}
        for position, found in enumerate(measure_all(self._parts.store, servables)):
            if isinstance(found, MetricFoundryError):
                outcomes[position] = found
            else:
                groups.setdefault(servables[position].datasource, []).append((position, servables[position], found))
        work = [[(servable, measured) for _, servable, measured in group] for group in groups.values()]
        for group, served in zip(groups.values(), self._serve_each(work), strict=True):
            outcomes.update((position, outcome) for (position, _, _), outcome in zip(group, served, strict=True))
        return [outcomes[position] for position in range(len(servables))]

    def count_all(self, servings: Sequence[Serving]) -> list[dict[str, int]]:
        """As the port says. What readers do not see, since another writer took its place, is counted in its files."""
        servables = [serving.servable for serving in servings]
        counts = self._counted(servables)
        return [self._count_of(servable, rows) for servable, rows in zip(servables, counts, strict=True)]

    def rollback(self, datasource: str) -> Version:
        """As the port says. The earlier version goes into Druid anew, so that readers see the one or the other."""
        return go_back(self._parts, datasource)

    def current(self, datasource: str) -> Version | None:
        """As the port says."""
        return self._parts.catalog.current_version(datasource)

    def versions(self, datasource: str) -> list[Version]:
        """As the port says."""
        return self._parts.catalog.versions(datasource)

    def query(self, sql: str, max_rows: int) -> QueryAnswer:
        """As the port says, in Druid's dialect. Everything that Druid holds can be named."""
        return self._parts.sql.read(sql, max_rows, self._served_names)

    def settle_abandoned(self) -> list[str]:
        """As the port says: what writers announced whose jobs have ended since, for some seconds, in any order.

        Raises:
            WorldError: the first that kept a datasource from being settled, when all others have had their turn.
        """
        catalog, now = self._parts.catalog, self._parts.clock.now()
        abandoned = [standing for standing in catalog.all_announcements() if not catalog.is_at_work(standing, now)]
        if abandoned:
            self._parts.overlord.require_there()
        random.shuffle(abandoned)  # so that those that take all the time there is do not come first each time
        return self._settle_each(abandoned)

    def _settle_each(self, abandoned: Sequence[Announcement]) -> list[str]:
        deadline = time.monotonic() + self._parts.timeouts.settle_seconds
        settled: list[str] = []
        failure: WorldError | None = None
        for standing in abandoned:
            try:
                settle(replace(self._parts, timeouts=_brief(self._parts.timeouts)), standing)
                settled.append(standing.datasource)
            except WorldError as error:
                failure = failure or error
                if error.code.endswith(".unreachable"):
                    break
            if time.monotonic() >= deadline:
                break
        if failure is not None:
            raise failure
        return settled

    def _serve_each(self, work: Sequence[Sequence[tuple[Servable, Measured]]]) -> list[list[Outcome]]:
        with ThreadPoolExecutor(_DATASOURCES_AT_ONCE) as pool:
            served = list(pool.map(self._serve_by_itself, work))
        failures = [outcome for outcome in served if isinstance(outcome, MetricFoundryError)]
        if failures and len(failures) == len(work) and all(failure.code in AWAY_FOR_ALL for failure in failures):
            raise failures[0]
        return [
            [outcome] * len(datasets) if isinstance(outcome, MetricFoundryError) else outcome
            for datasets, outcome in zip(work, served, strict=True)
        ]

    def _serve_by_itself(self, datasets: Sequence[tuple[Servable, Measured]]) -> list[Outcome] | MetricFoundryError:
        try:
            return serve_datasource(self._parts, datasets)
        except MetricFoundryError as error:
            return error

    def _counted(self, servables: Sequence[Servable]) -> list[dict[str, int]]:
        ids_of: dict[str, set[str]] = {}
        for servable in servables:
            for table in servable.tables:
                ids_of.setdefault(table.name, set()).add(servable.dataset_id)
        counted = {name: self._parts.sql.count(name, ids) or {} for name, ids in ids_of.items()}
        return [
            {table.name: counted[table.name].get(servable.dataset_id, 0) for table in servable.tables} for servable in servables
        ]

    def _count_of(self, servable: Servable, rows: dict[str, int]) -> dict[str, int]:
        if rows == {table.name: table.rows for table in servable.tables}:
            return rows
        # Another writer's rows are in Druid before they are recorded, and may be gone again since we counted.
        if self._parts.catalog.announcement(servable.datasource) is None and self._is_seen(servable):
            return self._counted([servable])[0]
        [measured] = measure_all(self._parts.store, [servable])
        return rows if isinstance(measured, MetricFoundryError) else {name: table.rows for name, table in measured.items()}

    def _is_seen(self, servable: Servable) -> bool:
        current = self._parts.catalog.current_version(servable.datasource)
        return current is not None and any(
            (member.dataset_id, member.attempt) == (servable.dataset_id, servable.attempt) for member in current.members
        )

    def _served_names(self) -> Collection[str]:
        return names_of(member for version in self._parts.catalog.current_versions() for member in version.members)


def _brief(timeouts: DruidTimeouts) -> DruidTimeouts:
    """For those who look around regularly, and come again."""
    return replace(
        timeouts,
        task_seconds=min(40.0, timeouts.task_seconds),
        load_seconds=min(10.0, timeouts.load_seconds),
        end_seconds=min(10.0, timeouts.end_seconds),
    )

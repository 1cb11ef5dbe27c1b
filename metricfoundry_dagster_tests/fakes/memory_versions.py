"""Versions of datasources in a dictionary, by the rules of the port."""

import threading
from collections.abc import Collection, Sequence
from datetime import datetime

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, MetricFoundryError, NotFoundError
from metricfoundry_dagster.domain.served import Servable, Version
from metricfoundry_dagster.ports.catalog import Pointer


class MemoryVersions:
    """Implements `ports.catalog.Versions`. A rollback leads to the version that was current when the present one was made."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Version]] = {}
        self._before: dict[tuple[str, int], Version | None] = {}
        self._pointers: dict[str, Version] = {}
        self._lock = threading.Lock()

    def add_versions(self, servables: Sequence[Servable], now: datetime) -> list[tuple[int, bool] | MetricFoundryError]:
        with self._lock:
            outcomes: dict[int, Version | MetricFoundryError] = {}
            for position in sorted(range(len(servables)), key=lambda index: servables[index].sequence):
                outcomes[position] = self._add(servables[position], now)
            return [self._seen(servable, outcomes[position]) for position, servable in enumerate(servables)]

    def _add(self, servable: Servable, now: datetime) -> Version | MetricFoundryError:
        known = self._versions.setdefault(servable.datasource, [])
        current = self._pointers.get(servable.datasource)
        if current and current.members[0].mode is not servable.mode:
            message = f"{servable.datasource!r} is kept in mode {current.members[0].mode}, not {servable.mode}"
            return ConflictError("datasource.mode_conflict", message)
        attempts = [m.attempt for v in known for m in v.members if m.dataset_id == servable.dataset_id]
        if attempts and max(attempts) > servable.attempt:
            this = f"attempt {servable.attempt} of {servable.dataset_id}"
            return FencedError("attempt.fenced", f"{this} may not be served, there is attempt {max(attempts)}")
        repeated = [v for v in known if _holds(v, servable)]
        if repeated:
            return repeated[0]
        version = Version(servable.datasource, len(known) + 1, _members(current, servable), now)
        known.append(version)
        self._before[version.datasource, version.number] = current
        if servable.mode is Mode.APPEND or current is None or current.members[0].sequence <= servable.sequence:
            self._pointers[servable.datasource] = version
        return version

    def _seen(self, servable: Servable, outcome: Version | MetricFoundryError) -> tuple[int, bool] | MetricFoundryError:
        if isinstance(outcome, MetricFoundryError):
            return outcome
        current = self._pointers.get(servable.datasource)
        is_seen = current is not None and _holds(current, servable)
        return outcome.number, is_seen

    def step_back(self, datasource: str) -> Version:
        with self._lock:
            current = self._pointers.get(datasource)
            if current is None:
                raise NotFoundError("datasource.not_found", f"nothing was ever served as {datasource!r}")
            before = self._before[datasource, current.number]
            if before is None:
                raise ConflictError("datasource.no_earlier_version", f"version {current.number} of {datasource!r} is the first")
            self._pointers[datasource] = before
            return before

    def current_version(self, datasource: str) -> Version | None:
        return self._pointers.get(datasource)

    def versions(self, datasource: str) -> list[Version]:
        return self._versions.get(datasource, [])[::-1]

    def pointers(self) -> list[Pointer]:
        return [Pointer(version.datasource, version.number, version.created_at) for version in self.current_versions()]

    def current_versions(self, of: Collection[str] | None = None) -> list[Version]:
        with self._lock:
            return [self._pointers[name] for name in sorted(self._pointers) if of is None or name in of]


def _holds(version: Version, servable: Servable) -> bool:
    return any((m.dataset_id, m.attempt) == (servable.dataset_id, servable.attempt) for m in version.members)


def _members(current: Version | None, servable: Servable) -> tuple[Servable, ...]:
    others = current.members if current and servable.mode is Mode.APPEND else ()
    kept = [member for member in others if member.dataset_id != servable.dataset_id]
    return tuple(sorted([*kept, servable], key=lambda member: member.sequence))

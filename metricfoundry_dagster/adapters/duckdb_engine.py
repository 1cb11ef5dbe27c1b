"""The embedded serving engine: immutable Parquet files, a pointer in the catalog, and DuckDB in memory over both.

No DuckDB file exists, so any number of processes read at once and no writer makes a reader wait. A reader that began
before the pointer moved goes on with the files it began with.
"""

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from metricfoundry_dagster.adapters.duckdb_database import CountingDatabase, EngineLimits, LockedDatabase
from metricfoundry_dagster.adapters.duckdb_views import count_sql, members_by_name, view_sql
from metricfoundry_dagster.adapters.served_file_cache import ServedFileCache
from metricfoundry_dagster.domain.errors import MetricFoundryError, UserError, WorldError
from metricfoundry_dagster.domain.served import QueryAnswer, Servable, Serving, Version
from metricfoundry_dagster.ports.catalog import Pointer, Versions
from metricfoundry_dagster.ports.clock import Clock
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.ports.serving_engine import ServingEngine

_DEFAULT_CACHE_BYTES = 20 * 1024**3
_KEEP_MARGIN_SECONDS = 600
#: Statements with one of these words may look at any table without naming it.
_ASKS_FOR_ALL = re.compile(r"\b(show|information_schema|pragma_\w+|duckdb_\w+|sqlite_master|query|query_table)\b", re.IGNORECASE)


class DuckDbEngine(ServingEngine):
    """One database per process is kept for as long as the same versions are asked for.

    `cache_dir` takes copies of remote files, up to `cache_bytes`, and what large statements spill.
    """

    def __init__(
        self,
        catalog: Versions,
        store: ObjectStore,
        cache_dir: Path,
        clock: Clock,
        *,
        limits: EngineLimits | None = None,
        cache_bytes: int = _DEFAULT_CACHE_BYTES,
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._limits = limits or EngineLimits()
        self._cache_dir = cache_dir
        keep_seconds = self._limits.timeout_seconds + _KEEP_MARGIN_SECONDS
        self._files = ServedFileCache(store, cache_dir / "files", max_bytes=cache_bytes, keep_seconds=keep_seconds)
        self._kept = _Kept()
        self._left_behind: list[_Kept] = []

    def serve_all(self, servables: Sequence[Servable]) -> list[Serving | MetricFoundryError]:
        """As the port says; the rows are counted in the files before anybody can see a version."""
        outcomes: list[Serving | MetricFoundryError | None] = list(self._miscounted(servables))
        good = [position for position, outcome in enumerate(outcomes) if outcome is None]
        added = self._catalog.add_versions([servables[position] for position in good], self._clock.now())
        for position, taken in zip(good, added, strict=True):
            outcomes[position] = taken if isinstance(taken, MetricFoundryError) else Serving(servables[position], *taken)
        return [outcome for outcome in outcomes if outcome is not None]

    def count_all(self, servings: Sequence[Serving]) -> list[dict[str, int]]:
        """As the port says; only files of these datasets are opened."""
        return self._count([serving.servable for serving in servings])

    def _miscounted(self, servables: Sequence[Servable]) -> list[MetricFoundryError | None]:
        """For every servable whose files do not hold its rows, the error that says so; None for the others."""
        try:
            counts = self._count(servables)
        except WorldError as error:
            if len(servables) == 1:
                return [error]
            return [self._miscounted([servable])[0] for servable in servables]  # whose files it was
        errors: list[MetricFoundryError | None] = []
        for servable, counted in zip(servables, counts, strict=True):
            expected = {table.name: table.rows for table in servable.tables}
            message = f"the files hold {counted} rows where {expected} are valid"
            errors.append(WorldError("serving.count_mismatch", message) if counted != expected else None)
        return errors

    def _count(self, servables: Sequence[Servable]) -> list[dict[str, int]]:
        paths = {file: self._files.path_of(file) for servable in servables for table in servable.tables for file in table.files}
        rows_of = {}
        if paths:
            kept = self._of_this_process()
            with kept.lock:
                kept.counting = kept.counting or CountingDatabase(self._cache_dir / "spill", self._limits)
            rows_of = kept.counting.count(count_sql(paths.values()))
        return [
            {table.name: sum(rows_of.get(str(paths[file]), 0) for file in table.files) for table in servable.tables}
            for servable in servables
        ]

    def rollback(self, datasource: str) -> Version:
        """As the port says."""
        return self._catalog.step_back(datasource)

    def current(self, datasource: str) -> Version | None:
        """As the port says."""
        return self._catalog.current_version(datasource)

    def versions(self, datasource: str) -> list[Version]:
        """As the port says."""
        return self._catalog.versions(datasource)

    def query(self, sql: str, max_rows: int) -> QueryAnswer:
        """As the port says. Every datasource is seen at the version that was current when the query began."""
        pointers = self._catalog.pointers()
        try:
            return self._database_of([pointer for pointer in pointers if _may_read(sql, pointer.datasource)]).read(sql, max_rows)
        except UserError as error:
            if error.code == "query.invalid" and "does not exist" in error.record.message:
                names = ", ".join(sorted(members_by_name(self._catalog.current_versions()))) or "nothing"
                raise UserError("query.invalid", error.record.message, hint=f"What is served: {names}.") from error
            raise

    def _database_of(self, pointers: Sequence[Pointer]) -> LockedDatabase:
        """The database that is kept, if these are the versions that it shows: what has not changed is not read again."""
        kept = self._of_this_process()
        with kept.lock:
            if kept.database is None or kept.shown != pointers:
                # A pointer may move between the two looks; then the database shows what is newer.
                versions = self._catalog.current_versions([pointer.datasource for pointer in pointers])
                kept.database = self._open(versions)
                kept.shown = [Pointer(version.datasource, version.number, version.created_at) for version in versions]
            return kept.database

    def _of_this_process(self) -> "_Kept":
        if self._kept.process_id != os.getpid():
            # a fork copies databases without their threads, and perhaps a lock that is held: all is left behind unclosed
            self._left_behind.append(self._kept)
            self._kept = _Kept()
        return self._kept

    def _open(self, versions: list[Version]) -> LockedDatabase:
        names = members_by_name(versions)
        paths = {file: self._files.path_of(file) for members in names.values() for _, table in members for file in table.files}
        statements = [view_sql(name, members, paths.__getitem__) for name, members in names.items()]
        return LockedDatabase(list(paths.values()), statements, self._cache_dir / "spill", self._limits)


class _Kept:
    """The databases that this process keeps, and the versions that the one for people shows."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self.lock = threading.Lock()
        self.shown: Sequence[Pointer] = ()
        self.database: LockedDatabase | None = None
        self.counting: CountingDatabase | None = None


def _may_read(sql: str, datasource: str) -> bool:
    """Whether a statement may read tables of the datasource. A table is named by its datasource's slug and perhaps more."""
    return datasource in sql.lower() or _ASKS_FOR_ALL.search(sql) is not None

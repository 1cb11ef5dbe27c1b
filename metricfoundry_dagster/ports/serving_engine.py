"""The serving engine: immutable versions of a datasource, of which readers see exactly one."""

from collections.abc import Sequence
from typing import Protocol

from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.domain.served import QueryAnswer, Servable, Serving, Version


class ServingEngine(Protocol):
    """DuckDB over files on the embedded default, Druid on servers. Readers never wait and never see half a version.

    Serving and counting take many datasets at once, of any datasources; for one alone there are shorter names, which
    an engine inherits. Raises WorldError `serving.engine_failed` when the engine does not answer.
    """

    def serve_all(self, servables: Sequence[Servable]) -> list[Serving | MetricFoundryError]:
        """Make versions that hold the datasets, and let readers see them from now on; outcomes in the order given.

        In replace mode a version holds one dataset alone: versions are made in the order of their sequences, and one
        of a lower sequence than the current version's is kept but does not become current. In append mode a dataset
        is there exactly once beside all that were there. Doing it again for the same dataset and attempt changes
        nothing. A dataset may be there with one attempt only.

        What is wrong with one dataset is its outcome, and holds up no other: ConflictError `datasource.mode_conflict`
        when its datasource is kept in the other mode, FencedError `attempt.fenced` when a newer attempt has begun or
        the job was canceled, WorldError `serving.count_mismatch` or `store.object_missing` when its files do not hold
        its rows. None of its rows can be seen then. An engine that serves each datasource by itself also gives the
        WorldError for which one datasource could not be served as the outcome of its datasets; any of these may be
        served already, and doing it again changes nothing for those.

        Raises:
            WorldError: the engine, the store or the catalog is away for all; any of the datasets may be served already.
        """

    def count_all(self, servings: Sequence[Serving]) -> list[dict[str, int]]:
        """Rows of each served dataset, by served table name, counted by queries to the engine: one for many datasets."""

    def serve(self, servable: Servable) -> Serving:
        """Serve one dataset; raises its outcome if that is an error."""
        [outcome] = self.serve_all([servable])
        if isinstance(outcome, MetricFoundryError):
            raise outcome
        return outcome

    def count_rows(self, serving: Serving) -> dict[str, int]:
        """Rows of one served dataset, by served table name."""
        return self.count_all([serving])[0]

    def rollback(self, datasource: str) -> Version:
        """Let readers see the version before the current one again.

        Raises:
            NotFoundError: `datasource.not_found`.
            ConflictError: `datasource.no_earlier_version`.
        """

    def settle_abandoned(self) -> list[str]:
        """Undo what writers left in the engine that died or were canceled; give the names of the datasources.

        An engine in which nothing can be seen that is not recorded has nothing to do. What needs time is left to the
        next call.
        """
        return []

    def current(self, datasource: str) -> Version | None:
        """The version that readers see, None when nothing was ever served."""

    def versions(self, datasource: str) -> list[Version]:
        """All versions, newest first."""

    def query(self, sql: str, max_rows: int) -> QueryAnswer:
        """Run one reading statement over everything that is served now.

        Every served row carries `_dataset_id`.

        Raises:
            UserError: `query.invalid`, or `query.too_many_rows` above `max_rows`.
        """

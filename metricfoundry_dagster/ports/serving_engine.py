"""The serving engine: immutable versions of a datasource, of which readers see exactly one."""

from typing import Protocol

from metricfoundry_dagster.domain.served import QueryAnswer, Servable, Serving, Version


class ServingEngine(Protocol):
    """DuckDB over files on the embedded default, Druid on servers. Readers never wait and never see half a version.

    Raises WorldError `serving.engine_failed` when the engine does not answer.
    """

    def serve(self, servable: Servable) -> Serving:
        """Make a version that holds the dataset, and let readers see it from now on.

        In replace mode the version holds this dataset alone; one of a lower sequence than the current
        version's is kept but does not become current. In append mode it holds all that were there and this
        one exactly once. Doing it again for the same dataset and attempt changes nothing.

        Raises:
            ConflictError: `datasource.mode_conflict` when the datasource is kept in the other mode.
        """

    def count_rows(self, serving: Serving, dataset_id: str) -> dict[str, int]:
        """Rows of one dataset in that version, by served table name, counted by a query to the engine."""

    def rollback(self, datasource: str) -> Version:
        """Let readers see the version before the current one again.

        Raises:
            NotFoundError: `datasource.not_found`.
            ConflictError: `datasource.no_earlier_version`.
        """

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

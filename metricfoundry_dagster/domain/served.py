"""What is served: the tables of a version, and a version of a datasource."""

from dataclasses import dataclass
from datetime import datetime

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.products import Column, ProductFile


@dataclass(frozen=True, slots=True)
class ServedTable:
    """One table as readers see it. `name` is the datasource's, or `<datasource>__<table>` among several.

    `time_column` is the column that contract or recipe agreed on as the time; None where nobody said one, or this
    table has no such column.
    """

    name: str
    columns: tuple[Column, ...]
    files: tuple[ProductFile, ...]
    rows: int
    time_column: str | None = None


@dataclass(frozen=True, slots=True)
class Servable:
    """One dataset, ready to be served."""

    datasource: str
    mode: Mode
    dataset_id: str
    sequence: int
    attempt: int
    tables: tuple[ServedTable, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable set of datasets that a datasource served, or serves. `number` counts from 1 per datasource."""

    datasource: str
    number: int
    members: tuple[Servable, ...]
    created_at: datetime

    @property
    def rows(self) -> int:
        """Rows over all members and tables."""
        return sum(table.rows for member in self.members for table in member.tables)


@dataclass(frozen=True, slots=True)
class Serving:
    """What became of a servable: the number of the version that came with it, and whether readers see it now.

    `current` is False when they do not: in replace mode one of a higher sequence is shown, or in either mode a person
    went back to an earlier version. The other members of the version are not told: there may be thousands.
    """

    servable: Servable
    version_number: int
    current: bool


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """The answer to a query. `types` are named as the engine prints them; one tuple a row."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[object, ...]]


def served_name(datasource: str, table: str, table_count: int) -> str:
    """The name under which a table is served."""
    return datasource if table_count == 1 else f"{datasource}__{table}"

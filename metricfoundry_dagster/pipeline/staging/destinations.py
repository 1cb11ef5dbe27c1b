"""Where the tables of one file go, and what they are called: one name for each, safe and unique.

A format that holds one table calls it what the file is called. One that holds several calls each by its own name
(sheet, table, member, JSON path); what is served is then `<datasource>__<table>`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from metricfoundry_dagster.domain.datasets import slug_of
from metricfoundry_dagster.domain.errors import MetricFoundryError, UserError
from metricfoundry_dagster.domain.findings import Finding
from metricfoundry_dagster.domain.products import ProductFile, TableProduct
from metricfoundry_dagster.pipeline.staging.write_table import Destination

Written = tuple[TableProduct, tuple[ProductFile, ...]]
#: Folders beside those of the tables, whose names no table may have.
_RESERVED = ("rejects", "lines", "quarantine", "manifest")


@dataclass(slots=True)
class Destinations:
    """Gives a destination for each table.

    `scratch` is an empty folder for what must lie in a file meanwhile; `findings` is what a format has to say beside its tables.
    """

    base: Destination
    scratch: Path
    #: An encoding that showed only while the file was read; None when none did.
    encoding_found: str | None = None
    #: What there is to tell of the file besides its tables; every format may add to it.
    findings: list[Finding] = field(default_factory=list)
    _taken: set[str] = field(default_factory=lambda: set(_RESERVED))

    def note_encoding(self, name: str) -> None:
        """Keep in mind what the recipe could not know."""
        self.encoding_found = name

    def only(self) -> Destination:
        """For the one table of a file, or the first of several that have no names of their own."""
        return self._unique(self.base.table)

    def named(self, name: str, source: str | None = None) -> Destination:
        """For one of several tables, by the name that it has in the file; `source` is what its rejects name, if not the file."""
        return self._unique(_slug(name), source)

    def child(self, parent: Destination, name: str) -> Destination:
        """For a table that lies inside the rows of another."""
        return self._unique(_slug(f"{parent.table}_{name}"), parent.source)

    def below(self, name: str, source: str, scratch: Path) -> "Destinations":
        """For the tables of a member of an archive: no name is given twice in the whole file."""
        base = replace(self.base, table=_slug(name), source=source)
        return Destinations(base, scratch, findings=self.findings, _taken=self._taken)

    def _unique(self, wish: str, source: str | None = None) -> Destination:
        name = _free_name(wish, self._taken)
        return replace(self.base, table=name, source=source or self.base.source)


def table_names(names: Iterable[str]) -> list[str]:
    """What several tables are called if a destination is asked for each by the name that it has in the file."""
    taken = set(_RESERVED)
    return [_free_name(_slug(name), taken) for name in names]


def failed_table(name: str, error: MetricFoundryError) -> Written:
    """A table that could not be staged, beside others that could."""
    return TableProduct(name, (), 0, 0, 0, error.record), ()


def _free_name(wish: str, taken: set[str]) -> str:
    name, number = wish, 2
    while name in taken:
        name, number = f"{wish[:90]}_{number}", number + 1
    taken.add(name)
    return name


def _slug(name: str) -> str:
    try:
        return slug_of(name.replace("/", "_").replace("\\", "_").replace("..", "_"))
    except UserError:
        return "table"

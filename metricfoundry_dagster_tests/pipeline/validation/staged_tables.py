"""Staged tables for the tests of validation: Parquet parts in a store on a directory, and their way through a contract."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.contracts import ColumnRule, Contract
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column, ProductFile, Root, TableProduct
from metricfoundry_dagster.pipeline.validation.judge_parts import Destination
from metricfoundry_dagster.pipeline.validation.validate_table import ValidatedTable, validate_table

LENIENT = Limits(max_quarantine_share=1.0)


@dataclass(frozen=True)
class Staged:
    """A table as its stage left it."""

    table: TableProduct
    parts: tuple[ProductFile, ...]


class ValidationHouse:
    """A store below `folder`, in which tables are staged and validated."""

    def __init__(self, folder: Path) -> None:
        self.store = FsspecStore(dict.fromkeys(Root, str(folder)))

    def stage(self, rows: pa.Table, part_rows: Sequence[int] | None = None, name: str = "t") -> Staged:
        """Write the table in parts of so many rows each; one part when none are given."""
        ends = [0]
        for count in part_rows or [rows.num_rows]:
            ends.append(ends[-1] + count)
        assert ends[-1] == rows.num_rows
        parts = tuple(
            self._write(rows.slice(a, b - a), f"staged/1/{name}/part-{i:05d}.parquet", name)
            for i, (a, b) in enumerate(pairwise(ends))
        )
        columns = tuple(Column(field.name, field.name, str(field.type), nullable=True) for field in rows.schema)
        return Staged(TableProduct(name, columns, rows.num_rows, rows.num_rows, 0), parts)

    def validate(self, staged: Staged, contract: Contract, *, batch_rows: int = 1000, limits: Limits = LENIENT) -> ValidatedTable:
        """Hold the table against the contract."""
        into = Destination(self.store, "validated/1/", "sales.csv", limits.max_raw_chars)
        return validate_table(staged.table, staged.parts, contract, into, limits, batch_rows=batch_rows)

    def judge(self, columns: dict[str, Any], contract: Contract, **options: Any) -> ValidatedTable:
        """Stage a table of these columns and hold it against the contract."""
        return self.validate(self.stage(pa.table(columns)), contract, **options)

    def read(self, file: ProductFile) -> pa.Table:
        """The rows of one file."""
        with self.store.local(file.root, file.key) as path:
            return pq.read_table(path)

    def valid(self, result: ValidatedTable) -> pa.Table:
        """The rows that went on."""
        return pa.concat_tables([self.read(file) for file in result.files if file.role == "part"])

    def quarantine(self, result: ValidatedTable) -> list[dict[str, Any]]:
        """The rows put aside."""
        return [row for file in result.files if file.role == "quarantine" for row in self.read(file).to_pylist()]

    def _write(self, rows: pa.Table, key: str, name: str) -> ProductFile:
        with self.store.create(Root.ARTIFACTS, key) as path:
            pq.write_table(rows, path)
            size_bytes = path.stat().st_size
        return ProductFile(Root.ARTIFACTS, key, "part", name, rows.num_rows, size_bytes)


def contract_of(*rules: ColumnRule, **settings: Any) -> Contract:
    """A contract of these rules."""
    return Contract("test", columns=rules, **settings)


def bad_rows(quarantine: list[dict[str, Any]]) -> dict[int, list[str]]:
    """For each row in the quarantine what it breaks, as `column code`, without the codes' common beginning."""
    return {
        row["row"]: [f"{reason['column']} {reason['code'].removeprefix('contract.')}" for reason in row["reasons"]]
        for row in quarantine
    }

"""Stages bytes in one call, and gives back what lies in the store afterwards."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.domain.errors import ErrorRecord, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import ProductFile, Root, TableProduct
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.stage_file import StagedFile, stage_file
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore

CSV: dict[str, Any] = {"format": "csv", "delimiter": ",", "quote": '"', "has_header": True}


@dataclass(frozen=True)
class Staged:
    """A staged file, its only table and its rejects as they were read back."""

    recipe: Recipe
    product: TableProduct
    table: pa.Table
    rejects: list[dict[str, Any]]
    files: tuple[ProductFile, ...]
    store: MemoryStore

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.product.columns}

    def column(self, name: str) -> list[Any]:
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def reject_codes(self) -> list[tuple[int, str]]:
        return [(reject["line"], reject["code"]) for reject in self.rejects]


def stage(
    content: bytes | str,
    filename: str = "t.csv",
    *,
    block_bytes: int = 8 * 1024**2,
    limits: Limits | None = None,
    **overrides: Any,
) -> Staged:
    """Stage a file with this content. Its ledger is checked against the files that were written."""
    staged, store = stage_into_store(content, filename, block_bytes=block_bytes, limits=limits, **overrides)
    (product,) = staged.tables
    parts = [read_back(store, file) for file in staged.files if file.role == "part"]
    rejects = [row for file in staged.files if file.role == "rejects" for row in read_back(store, file).to_pylist()]
    assert {file.key for file in staged.files} == {key for _root, key in store.objects}
    table = pa.concat_tables(parts)
    assert product.balances
    assert (table.num_rows, len(rejects)) == (product.rows_out, product.rows_rejected)
    assert [str(field.type) for field in table.schema] == [column.type for column in product.columns]
    return Staged(staged.recipe, product, table, rejects, staged.files, store)


def stage_into_store(
    content: bytes | str,
    filename: str,
    *,
    block_bytes: int = 8 * 1024**2,
    limits: Limits | None = None,
    **overrides: Any,
) -> tuple[StagedFile, MemoryStore]:
    """Stage a file with this content, which stays as it is with nothing beside it; what became of it, and what was written."""
    store = MemoryStore()
    raw = content.encode() if isinstance(content, str) else content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "raw")
        path.write_bytes(raw)
        staged = stage_file(
            path,
            filename=filename,
            store=store,
            root=Root.ARTIFACTS,
            prefix="a/",
            overrides=overrides,
            limits=limits or Limits(),
            progress=lambda share: None,
            block_bytes=block_bytes,
        )
        assert path.read_bytes() == raw
        assert [each.name for each in Path(folder).iterdir()] == ["raw"]
    return staged, store


def read_back(store: MemoryStore, file: ProductFile) -> pa.Table:
    """One file of a product as a table; the product must tell its rows and size truly."""
    data = store.read_bytes(file.root, file.key)
    table = pq.read_table(pa.BufferReader(data))
    assert (table.num_rows, len(data)) == (file.rows, file.size_bytes)
    return table


def refusal(content: bytes | str, filename: str = "t.csv", **options: Any) -> ErrorRecord:
    """The user's error with which a file is refused."""
    with pytest.raises(UserError) as caught:
        stage(content, filename, **options)
    assert caught.value.record.hint
    return caught.value.record

"""Stages bytes that give several tables, and gives them back as rows."""

from typing import Any

import pyarrow as pa

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.pipeline.staging.stage_file import StagedFile
from metricfoundry_dagster_tests.pipeline.staging.stage_bytes import read_back, stage_into_store


def stage_all(
    content: bytes | str,
    filename: str = "t.json",
    *,
    block_bytes: int = 8 * 1024**2,
    limits: Limits | None = None,
    **overrides: Any,
) -> tuple[StagedFile, dict[str, list[dict[str, Any]]]]:
    """What became of a file with this content, and the rows of every table by its name. Every ledger is checked."""
    staged, store = stage_into_store(content, filename, block_bytes=block_bytes, limits=limits, **overrides)
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in staged.tables:
        parts = [read_back(store, file) for file in staged.files if (file.role, file.table) == ("part", table.name)]
        rows[table.name] = pa.concat_tables(parts).to_pylist() if parts else []
        assert table.balances
        assert table.rows_out == len(rows[table.name])
    return staged, rows

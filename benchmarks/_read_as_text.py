"""Reading one file for a suite that compares texts: the first table that is staged, told nothing, every column as text."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Root, TableProduct
from metricfoundry_dagster.pipeline.staging.stage_file import stage_file
from metricfoundry_dagster.wiring import build_directory_store


def read_as_text(path: Path) -> tuple[TableProduct, list[dict[str, Any]]]:
    """The table and its rows by their columns, with None where there is nothing. Raises UserError as `stage_file`."""
    with tempfile.TemporaryDirectory() as out:
        staged = stage_file(
            path,
            filename=path.name,
            store=build_directory_store(out),
            root=Root.ARTIFACTS,
            prefix="",
            overrides={"typed": False},
            limits=Limits(),
            progress=lambda _share: None,
        )
        table = staged.tables[0]
        parts = [Path(out, file.key) for file in staged.files if (file.role, file.table) == ("part", table.name)]
        return table, [row for part in parts for row in pq.read_table(part).to_pylist()]

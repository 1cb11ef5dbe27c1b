"""Looking at a file with no catalog, as the document of `inspect`."""

from collections.abc import Mapping
from typing import Any

from metricfoundry_dagster.cli.local_file import local_file
from metricfoundry_dagster.cli.stage_alone import columns_document
from metricfoundry_dagster.pipeline.staging.inspect_file import inspect_file
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_limits


def inspect_alone(path: str, settings: Settings, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The document of `inspect --json`; writes nothing.

    Raises:
        UserError: the file is not there or not what it seems, or the overrides are impossible.
    """
    source = local_file(path, settings)
    found = inspect_file(source, source.name, overrides, build_limits(settings))
    tables = [
        {
            "name": table.name,
            "columns": columns_document(table.columns),
            "whole_file": table.whole_file,
            "time_column": table.time_column,
        }
        for table in found.tables
    ]
    return {"status": "ok", "format": found.recipe.format, "recipe": found.recipe.to_json(), "tables": tables}

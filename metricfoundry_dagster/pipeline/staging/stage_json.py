"""Stages a JSON document: its records as one table, and the lists of objects in them as tables behind it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.staging.child_tables import write_tables
from metricfoundry_dagster.pipeline.staging.cut_elements import ElementBlock
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written
from metricfoundry_dagster.pipeline.staging.find_records import Records, find_records_pointer, open_records, siblings_of
from metricfoundry_dagster.pipeline.staging.json_document import JsonDocument
from metricfoundry_dagster.pipeline.staging.parse_json import ELEMENT
from metricfoundry_dagster.pipeline.staging.read_jsonl_block import JsonReading


def stage_json(
    path: Path, recipe: Recipe, to: Destinations, limits: Limits, progress: Callable[[float], None], *, block_bytes: int
) -> list[Written]:
    """Write the tables of the document. `progress` is told the share that has been read, in 0..1.

    Raises:
        UserError: `json.invalid`, `json.truncated`, `json.no_table`, `json.too_large`, `json.too_many_tables`,
            `csv.too_many_columns`, `request.invalid` for impossible types or a pointer that leads nowhere, or as
            `UnpackedBytes.chunks`.
    """
    table = to.only()
    document = JsonDocument(path, recipe, table.source, limits, block_bytes)
    records = document_records(document, recipe)
    siblings = siblings_of(document, recipe.records or "")
    if siblings:
        message = f"the records lie at {recipe.records}; what is beside them is not staged: {siblings}"
        to.findings.append(Finding("staging.beside_records", Severity.INFO, message, table=table.table))

    @contextmanager
    def opened() -> Iterator[Iterator[ElementBlock]]:
        with records.blocks(progress) as blocks:
            yield blocks

    return write_tables(opened, json_reading(records, recipe, table.source, limits), table, to, block_bytes)


def document_records(document: JsonDocument, recipe: Recipe) -> Records:
    """The records where the recipe says, or else where they seem to be. Raises as `open_records`."""
    pointer = find_records_pointer(document) if recipe.records is None else recipe.records
    return open_records(document, pointer, has_header=recipe.has_header)


def json_reading(records: Records, recipe: Recipe, filename: str, limits: Limits) -> JsonReading:
    """How these records are read: fields of rows, columns and lone values that are nested stay JSON text."""
    flat = recipe.nested == "tables" and records.shape in ("objects", "object")
    return JsonReading(filename, limits, recipe.types or {}, recipe.flatten_depth if flat else None, ELEMENT)

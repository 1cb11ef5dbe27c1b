"""Metadata: a product in the words that Dagster's UI reads.

Only standard keys (`dagster/…`) and plain names; nothing is computed here but shape. The first rows of a table
are read for the preview, and nothing else.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metricfoundry_dagster.domain.layout import attempt_manifest_key
from metricfoundry_dagster.domain.products import ProductFile, Root, Stage, StageProduct, TableProduct
from metricfoundry_dagster.orchestration.missing_objects import without_missing_objects
from metricfoundry_dagster.ports.bundle import Ports

_PREVIEW_ROWS = 5
_PREVIEW_COLUMNS = 20
_PREVIEW_CHARS = 60


def describe(product: StageProduct, ports: Ports) -> dict[str, dg.MetadataValue]:
    """All metadata of one materialization."""
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/uri": dg.MetadataValue.text(_uri(product, ports)),
        "attempt": dg.MetadataValue.int(product.attempt),
        "gate": dg.MetadataValue.text(product.gate.summary),
    }
    if product.tables:
        metadata |= _describe_tables(product, ports)
    for file in product.files_of("report"):
        name = "report" if file.key.endswith(".html") else "report_json"
        metadata[name] = dg.MetadataValue.url(ports.store.uri(file.root, file.key))
    return metadata | _describe_details(product)


def _describe_tables(product: StageProduct, ports: Ports) -> dict[str, dg.MetadataValue]:
    first = product.tables[0]
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/partition_row_count": dg.MetadataValue.int(product.rows_out),
        "ledger": _ledger(product.tables),
    }
    if first.columns:
        metadata["dagster/column_schema"] = dg.MetadataValue.table_schema(_schema(first))
    parts = product.files_of("part", first.name)
    if parts:
        # What is published is published: no value that Python cannot hold may fail the run over its preview.
        with suppress(pa.ArrowException, ValueError, OverflowError), without_missing_objects():
            metadata["preview"] = dg.MetadataValue.md(_preview(parts[0], ports))
    return metadata


def _describe_details(product: StageProduct) -> dict[str, dg.MetadataValue]:
    details = product.details
    metadata: dict[str, dg.MetadataValue] = {}
    if product.stage is Stage.RAW_OBJECT and details:
        for name in ("sha256", "media_type", "source_uri", "filename"):
            metadata[name] = dg.MetadataValue.text(str(details[name]))
        metadata["size_bytes"] = dg.MetadataValue.int(int(details["size_bytes"]))
    if "recipe" in details:
        metadata["recipe"] = dg.MetadataValue.json(dict(details["recipe"]))
    contract = details.get("contract")
    if isinstance(contract, Mapping):
        metadata["contract"] = dg.MetadataValue.text(f"{contract['name']} version {contract['version']}")
    if product.stage is Stage.DRUID_DATASOURCE and details:
        metadata["datasource"] = dg.MetadataValue.text(str(details["datasource"]))
        if details["version"] is not None:  # none was recorded when the engine did not count what it was given
            metadata["version"] = dg.MetadataValue.int(int(details["version"]))
        tables = ", ".join(table["name"] for table in details["tables"])
        metadata["dagster/table_name"] = dg.MetadataValue.text(tables)
        metadata["query"] = dg.MetadataValue.md(f"`metricfoundry query 'FROM \"{details['datasource']}\" LIMIT 10'`")
    return metadata


def _uri(product: StageProduct, ports: Ports) -> str:
    if product.files:
        first = product.files[0]
        return ports.store.uri(first.root, first.key)
    return ports.store.uri(Root.ARTIFACTS, attempt_manifest_key(product.dataset_id, product.stage, product.attempt))


def _ledger(tables: tuple[TableProduct, ...]) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "table": table.name,
                    "rows_in": table.rows_in,
                    "rows_out": table.rows_out,
                    "rows_rejected": table.rows_rejected,
                    "balances": table.balances,
                }
            )
            for table in tables
        ]
    )


def _schema(table: TableProduct) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.source_name,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def _preview(part: ProductFile, ports: Ports) -> str:
    with ports.store.local(part.root, part.key) as path, pq.ParquetFile(path) as file:
        names = file.schema_arrow.names[:_PREVIEW_COLUMNS]
        batches = file.iter_batches(batch_size=_PREVIEW_ROWS, columns=names)
        batch = next(batches, None)
        columns = [] if batch is None else [_as_texts(column) for column in batch.columns]
    lines = [_markdown_row(names), "|" + " --- |" * len(names)]
    return "\n".join(lines + [_markdown_row(list(row)) for row in zip(*columns, strict=True)])


def _as_texts(column: pa.Array) -> list[str | None]:
    """Values as Arrow writes them, which knows years that Python does not."""
    texts: list[str | None] = pc.cast(column.slice(0, _PREVIEW_ROWS), pa.string()).to_pylist()
    return texts


def _markdown_row(cells: Sequence[str | None]) -> str:
    texts = ("" if cell is None else str(cell)[:_PREVIEW_CHARS] for cell in cells)
    escaped = (text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;") for text in texts)
    return "| " + " | ".join(escaped) + " |"

"""A servable as the JSON that the catalog keeps, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.products import Column, ProductFile, Root
from metricfoundry_dagster.domain.served import Servable, ServedTable


def servable_to_json(servable: Servable) -> dict[str, Any]:
    """As JSON values."""
    return asdict(servable)


def servable_from_json(document: Mapping[str, Any]) -> Servable:
    """The inverse of `servable_to_json`."""
    tables = tuple(_table_from_json(table) for table in document["tables"])
    return Servable(**{**document, "mode": Mode(document["mode"]), "tables": tables})


def _table_from_json(document: Mapping[str, Any]) -> ServedTable:
    columns = tuple(Column(**column) for column in document["columns"])
    files = tuple(ProductFile(**{**file, "root": Root(file["root"])}) for file in document["files"])
    return ServedTable(name=document["name"], columns=columns, files=files, rows=document["rows"])

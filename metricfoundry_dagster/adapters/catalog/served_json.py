"""A servable as the JSON text that the catalog keeps, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.products import Column, ProductFile, Root
from metricfoundry_dagster.domain.served import Servable, ServedTable

#: A version of many appended datasets is read again for each that is added; most of its members are the same then.
_REMEMBERED = 10_000


def servable_to_json(servable: Servable) -> str:
    """As JSON text, in ASCII."""
    return json.dumps(asdict(servable))


@lru_cache(maxsize=_REMEMBERED)
def servable_from_json(text: str) -> Servable:
    """The inverse of `servable_to_json`."""
    document = json.loads(text)
    tables = tuple(_table_from_json(table) for table in document["tables"])
    return Servable(**{**document, "mode": Mode(document["mode"]), "tables": tables})


def _table_from_json(document: Mapping[str, Any]) -> ServedTable:
    columns = tuple(Column(**column) for column in document["columns"])
    files = tuple(ProductFile(**{**file, "root": Root(file["root"])}) for file in document["files"])
    return ServedTable(**{**document, "columns": columns, "files": files})

"""Nested values as columns: what an object looks like flat, and how a parser's structs become the same columns.

A key of a column is the key itself at the top of a row, and the path to it, as a tuple, deeper.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Key = str | tuple[str, ...]
#: Lists of objects of one row, by their paths.
Children = list[tuple[tuple[str, ...], list[dict[str, Any]]]]


@dataclass(slots=True)
class FlatRow:
    """One row: its values by the keys of their columns, and what belongs into tables of its own."""

    values: dict[Key, Any] = field(default_factory=dict)
    children: Children = field(default_factory=list)


class MixedShapesError(Exception):
    """A key holds objects here and other values there, which no parser's struct can hold."""


def flatten(one: dict[str, Any], depth: int | None) -> FlatRow:
    """Open objects until the paths of columns have `depth` keys; what lies deeper stays one value.

    A list of nothing but objects is a child. An empty object or list is a value, so that it differs from none. Without a
    depth everything is a value.
    """
    row = FlatRow()
    if depth is None:
        row.values.update(one)
    else:
        _flatten_into(row, one, (), depth)
    return row


def column_words(key: Key) -> tuple[str, str]:
    """The wish for a column's name, and what the file calls it."""
    return (key, key) if isinstance(key, str) else ("_".join(key), ".".join(key))


def struct_schema(columns: Iterable[tuple[Key, pa.DataType]]) -> pa.Schema:
    """The schema under which a parser reads the columns, each from its place. Raises MixedShapesError."""
    tree: dict[str, Any] = {}
    for key, type_ in columns:
        path = (key,) if isinstance(key, str) else key
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                raise MixedShapesError
        if path[-1] in node:
            raise MixedShapesError
        node[path[-1]] = type_
    return pa.schema(_fields(tree))


def flat_columns(table: pa.Table, keys: Iterable[Key]) -> list[pa.Array]:
    """The columns that were read under `struct_schema`. Raises MixedShapesError where an empty object may have been."""
    tops: dict[str, pa.Array] = {name: table.column(name).combine_chunks() for name in table.column_names}
    for array in tops.values():
        _require_filled(array)
    return [tops[key] if isinstance(key, str) else pc.struct_field(tops[key[0]], list(key[1:])) for key in keys]


def _flatten_into(row: FlatRow, one: dict[str, Any], prefix: tuple[str, ...], depth: int) -> None:
    for key, value in one.items():
        if isinstance(value, dict) and value and len(prefix) + 1 < depth:
            _flatten_into(row, value, (*prefix, key), depth)
        elif isinstance(value, list) and value and _are_objects(value):
            row.children.append(((*prefix, key), value))
        else:
            row.values[(*prefix, key) if prefix else key] = value


def _are_objects(values: Sequence[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _fields(tree: dict[str, Any]) -> list[pa.Field]:
    return [pa.field(key, pa.struct(_fields(node)) if isinstance(node, dict) else node) for key, node in tree.items()]


def _require_filled(array: pa.Array) -> None:
    if not pa.types.is_struct(array.type):
        return
    fields = [pc.struct_field(array, [number]) for number in range(array.type.num_fields)]
    filled = pc.is_null(array)
    for one in fields:
        filled = pc.or_(filled, pc.is_valid(one))
    if not pc.all(filled).as_py() and len(array):
        raise MixedShapesError
    for one in fields:
        _require_filled(one)

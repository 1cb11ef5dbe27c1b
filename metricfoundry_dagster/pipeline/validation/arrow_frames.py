"""From Arrow to Polars without a copy, for every Arrow type: what Polars does not know becomes text.

Rows are written from Arrow itself, so nothing that is done here can change a valid row.
"""

import json
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import polars as pl

_KNOWN_KINDS = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_time,
    pa.types.is_decimal128,
    pa.types.is_null,
)


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type of the values, however they are encoded: dictionaries, views and large offsets make no difference."""
    if pa.types.is_dictionary(type_):
        return plain_type(type_.value_type)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    return type_


def to_frame(batch: pa.RecordBatch, names: list[str] | None = None) -> "pl.DataFrame":
    """The columns of a batch as a frame, under other names if they are given; one row for each of the batch's."""
    import polars as pl  # a warm parent process must not have used Polars before it forks

    columns = [_to_series(column, name) for column, name in zip(batch.columns, names or batch.schema.names, strict=True)]
    return pl.DataFrame(columns)


def _to_series(column: pa.Array, name: str) -> "pl.Series":
    import polars as pl

    if not _known_to_polars(column.type):
        return pl.Series(name, [_as_text(value) for value in column], dtype=pl.String)
    if pa.types.is_dictionary(column.type):
        column = column.cast(plain_type(column.type))
    return pl.Series(name, pl.from_arrow(column))


def _known_to_polars(type_: pa.DataType) -> bool:
    """Whether Polars has the type and can also write it as JSON."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _known_to_polars(type_.value_type)
    if pa.types.is_struct(type_):
        return type_.num_fields > 0 and all(_known_to_polars(type_.field(i).type) for i in range(type_.num_fields))
    return any(is_of_kind(plain_type(type_)) for is_of_kind in _KNOWN_KINDS)


def _as_text(scalar: pa.Scalar) -> str | None:
    if not scalar.is_valid:
        return None
    value = scalar.as_py()
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, list | dict) else str(value)

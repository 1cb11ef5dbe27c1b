"""Turns bad rows into quarantine rows: what each breaks, in words and in data, and the row itself as JSON.

Judging is `judge_rows`; writing the file is `validate_table`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from metricfoundry_dagster.pipeline.validation.arrow_frames import to_frame
from metricfoundry_dagster.pipeline.validation.compiled_contract import Check, JudgedColumn
from metricfoundry_dagster.pipeline.validation.exact_casts import exact_cast
from metricfoundry_dagster.pipeline.validation.judge_rows import BadRows

if TYPE_CHECKING:
    import polars as pl

_REASON = pa.struct([(name, pa.string()) for name in ("column", "code", "value", "reason")])
#: One row for each bad row. `line` is the physical line of the source on which it starts, from 1, null in binary
#: formats; `row` counts from 1 in the staged table; `column` and `code` are the first reason's;
#: `reason` holds all of them joined by "; "; `raw` is the staged row as JSON, cut when it is very long.
QUARANTINE_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("line", pa.int64()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("code", pa.string()),
        ("reason", pa.string()),
        ("reasons", pa.list_(_REASON)),
        ("raw", pa.string()),
    ]
)
_MAX_VALUE_CHARS = 200


@dataclass(frozen=True, slots=True)
class RowPlaces:
    """Where bad rows stand: their numbers in the staged table, and their lines in the source or nulls."""

    rows: "pl.Series"
    lines: "pl.Series"


def explain(bad: BadRows) -> "pl.DataFrame":
    """For each of the checks that are broken a column of structs, named by its position, null in rows that hold it.

    The fields are `column`, `code`, `value` (as it was staged, null when it is missing) and `reason`.
    """
    import polars as pl  # a warm parent process must not have used Polars before it forks

    schema = bad.values.schema  # made anew each time it is asked for
    frame = pl.concat([bad.values, bad.broken], how="horizontal")
    return frame.select(
        pl.when(pl.col(flag)).then(_reason(check, schema)).alias(flag)
        for check, flag in zip(bad.checks, bad.broken.columns, strict=True)
    )


def quarantine_rows(
    reasons: "pl.DataFrame", places: RowPlaces, staged: pa.RecordBatch, source: str, max_raw_chars: int
) -> pa.Table:
    """The quarantine rows of one batch: `reasons` by `explain`, `places` where they stand, `staged` the bad rows alone."""
    import polars as pl

    each = [pl.col(name) for name in reasons.columns]
    frame = reasons.select(
        source=pl.lit(source),
        line=places.lines,
        row=places.rows,
        column=pl.coalesce(one.struct.field("column") for one in each),
        code=pl.coalesce(one.struct.field("code") for one in each),
        reason=pl.concat_str([one.struct.field("reason") for one in each], separator="; ", ignore_nulls=True),
        reasons=pl.concat_list(each).list.drop_nulls(),
        raw=_cut(pl.lit(rows_as_json(staged)), max_raw_chars),
    )
    return frame.to_arrow().cast(QUARANTINE_SCHEMA)


def examples(reasons: "pl.DataFrame", rows: "pl.Series", flag: str, count: int) -> Iterator[dict[str, Any]]:
    """The row numbers and values of the first rows that break a check."""
    broken = reasons.select(rows.alias("row"), reasons.get_column(flag)).drop_nulls(flag).head(count)
    for row, reason in broken.rows():
        yield {"row": row, "value": reason["value"]}


def rows_as_json(batch: pa.RecordBatch) -> "pl.Series":
    """Each row as one JSON object with the staged names. NaN and infinities are null, as JSON knows neither."""
    import polars as pl

    return to_frame(batch).select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _reason(check: Check, schema: "pl.Schema") -> "pl.Expr":
    import polars as pl

    value = _shown(check.columns, schema)
    name = pl.lit(check.column_name)
    complaint = pl.lit(check.complaint)
    said = pl.when(value.is_null()).then(pl.concat_str(name, complaint, separator=" "))
    return pl.struct(
        column=name,
        code=pl.lit(check.code),
        value=value,
        reason=said.otherwise(pl.concat_str(name, pl.lit(": "), value, pl.lit(" "), complaint)),
    )


def _shown(columns: tuple[JudgedColumn, ...], schema: "pl.Schema") -> "pl.Expr":
    import polars as pl

    texts = [_cut(_as_text(column, schema[column.raw]), _MAX_VALUE_CHARS) for column in columns]
    if len(texts) == 1:
        return texts[0]
    return pl.concat_str(
        [pl.concat_str(pl.lit(f"{column.name}="), text) for column, text in zip(columns, texts, strict=True)], separator=", "
    )


def _as_text(column: JudgedColumn, dtype: "pl.DataType") -> "pl.Expr":
    import polars as pl

    raw = pl.col(column.raw)
    if dtype.is_nested():
        return pl.when(raw.is_not_null()).then(pl.struct(raw).struct.json_encode())
    return exact_cast(raw, dtype, "string")


def _cut(text: "pl.Expr", chars: int) -> "pl.Expr":
    import polars as pl

    return pl.when(text.str.len_chars() > chars).then(text.str.slice(0, chars - 1) + "…").otherwise(text)

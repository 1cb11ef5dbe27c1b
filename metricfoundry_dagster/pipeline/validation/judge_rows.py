"""Judges one batch of rows: its values after their casts, and which of them break which check. Nothing is written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from metricfoundry_dagster.pipeline.validation.arrow_frames import to_frame
from metricfoundry_dagster.pipeline.validation.compiled_contract import Check, CompiledContract, JudgedColumn
from metricfoundry_dagster.pipeline.validation.find_repeated_keys import RowSet

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class BadRows:
    """The rows of a batch that break something, with their positions in it, their values and what each breaks.

    `broken` has one boolean column for each of `checks`, named by its position; every check is broken by a row.
    """

    positions: np.ndarray
    values: "pl.DataFrame"
    checks: tuple[Check, ...]
    broken: "pl.DataFrame"


def values_of(batch: pa.RecordBatch, columns: Sequence[JudgedColumn]) -> "pl.DataFrame":
    """The judged columns of a batch, staged (`raw_0`, …) and, where they are cast, as they leave (`value_0`, …)."""
    staged = pa.RecordBatch.from_arrays([batch.column(c.name) for c in columns], names=[c.raw for c in columns])
    frame = to_frame(staged)
    return frame.with_columns(c.cast.alias(c.value) for c in columns if c.cast is not None)


def find_bad_rows(values: "pl.DataFrame", contract: CompiledContract) -> BadRows | None:
    """The rows that break a check; None when all hold. `values` also holds the flags of the contract's keys."""
    import polars as pl  # a warm parent process must not have used Polars before it forks

    broken = values.select(check.fails.alias(str(i)) for i, check in enumerate(contract.checks))
    indexes = [i for i, count in enumerate(broken.sum().row(0)) if count]
    if not indexes:
        return None
    broken = broken.select(str(i) for i in indexes)
    bad = broken.select(pl.any_horizontal(pl.all())).to_series()
    return BadRows(
        positions=bad.arg_true().to_numpy(),
        values=values.filter(bad),
        checks=tuple(contract.checks[i] for i in indexes),
        broken=broken.filter(bad),
    )


def flag_repetitions(values: "pl.DataFrame", repeated: dict[str, RowSet], first_row: int) -> "pl.DataFrame":
    """The frame with one boolean column for each key; `first_row` is the number, from 0, of its first row in the table."""
    import polars as pl

    return values.with_columns(
        pl.Series(flag, rows.within(first_row, first_row + values.height), dtype=pl.Boolean) for flag, rows in repeated.items()
    )

"""Takes a file of records through its readers block by block, once, or once more when a late value asks for wider types.

The first pass writes under the types that the first records have. When a later block does not fit, the rest of the
file is only looked through, so that the next pass knows the types of the whole file.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from itertools import chain
from typing import Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa

from metricfoundry_dagster.domain.errors import InternalError
from metricfoundry_dagster.domain.products import TableProduct
from metricfoundry_dagster.pipeline.staging.destinations import Written
from metricfoundry_dagster.pipeline.staging.find_marks import Positions
from metricfoundry_dagster.pipeline.staging.rejects import ROW_COLUMN, Reject, Rows
from metricfoundry_dagster.pipeline.staging.typed_columns import TooNarrowError, TypedColumn, schema_of
from metricfoundry_dagster.pipeline.staging.write_table import Destination, open_table

_FIRST_LOOK_RECORDS = 2_000


class RecordBlock(Protocol):
    """Some records, counted by whoever cut them, and what was rejected between them."""

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """What was rejected while cutting."""

    @property
    def record_count(self) -> int:
        """Records; the rejects are not among them."""

    def lines(self) -> Positions | None:
        """The physical lines of the file on which the records start, if they have any."""

    def first(self, count: int) -> Self:
        """A block with at most the first records of this one."""


_Block = TypeVar("_Block", bound=RecordBlock)
_Block_contra = TypeVar("_Block_contra", bound=RecordBlock, contravariant=True)
OpenBlocks = Callable[[], AbstractContextManager[Iterator[_Block]]]


class BlockReader(Protocol[_Block_contra]):
    """Turns blocks into rows, and knows the columns."""

    @property
    def columns(self) -> list[TypedColumn]:
        """The columns so far."""

    def look(self, block: _Block_contra) -> None:
        """Learn the kinds of the columns from the first records."""

    def read(self, block: _Block_contra) -> Rows:
        """The rows of a block. Raises TooNarrowError when columns had to be widened."""


def write_blocks(open_blocks: OpenBlocks[_Block], reader: BlockReader[_Block], destination: Destination) -> Written:
    """Write all rows and rejects of a file; `open_blocks` begins a pass over it.

    Ends because kinds only widen; after rows have been lost once, one more pass suffices.

    Raises:
        InternalError: `staging.out_of_balance` when rows and rejects are not the records that were counted.
    """
    looked = False
    while True:
        with open_blocks() as opened:
            blocks = opened if looked else _looked_at(opened, reader)
            looked = True
            try:
                return _write(blocks, reader, destination)
            except TooNarrowError as signal:
                if not signal.rows_lost:
                    continue
                for block in filter(_has_records, blocks):
                    with suppress(TooNarrowError):
                        reader.read(block)


def _looked_at(blocks: Iterator[_Block], reader: BlockReader[_Block]) -> Iterator[_Block]:
    """All the blocks, after the reader has had its first look."""
    leading = []
    for block in blocks:
        leading.append(block)
        if _has_records(block):
            reader.look(block.first(_FIRST_LOOK_RECORDS))
            break
    return chain(leading, blocks)


def _write(blocks: Iterable[_Block], reader: BlockReader[_Block], destination: Destination) -> Written:
    rows_in = 0
    with open_table(destination, schema_of(reader.columns)) as writer:
        for block in blocks:
            rows_in += block.record_count + len(block.rejects)
            rejects = list(block.rejects)
            if block.record_count:
                try:
                    rows = reader.read(block)
                except TooNarrowError as signal:
                    signal.rows_lost = writer.rows_out
                    raise
                table = _numbered(rows.table, writer.rows_out) if rows.numbered else rows.table
                writer.write(table, _lines_kept(block, rows))
                rejects += rows.rejects
            writer.reject(sorted(rejects, key=lambda reject: reject.first_line))
        columns = tuple(column.product() for column in reader.columns)
        product = TableProduct(destination.table, columns, rows_in, writer.rows_out, writer.rows_rejected)
        if not product.balances:
            message = f"{rows_in} records were counted, {product.rows_out} rows staged and {product.rows_rejected} rejected"
            raise InternalError("staging.out_of_balance", message)
        writer.finish()
    return product, writer.files()


def _numbered(rows: pa.Table, rows_before: int) -> pa.Table:
    numbers = np.arange(rows_before + 1, rows_before + rows.num_rows + 1)
    return rows.add_column(0, pa.field(ROW_COLUMN, pa.int64()), pa.array(numbers))


def _lines_kept(block: RecordBlock, rows: Rows) -> Positions | None:
    lines = block.lines()
    if lines is None or rows.numbers is None:
        rejected = [reject.first_line for reject in rows.rejects]
        return lines if lines is None or not rejected else lines[~np.isin(lines, rejected)]
    return lines[rows.numbers]


def _has_records(block: RecordBlock) -> bool:
    return block.record_count > 0

"""Takes a file of records through its readers block by block, once, or once more when a late value asks for wider types.

The first pass writes under the types that the first records have. When a later block does not fit, the rest of the
file is only looked through, so that the next pass knows the types of the whole file.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from itertools import chain
from typing import Protocol

import numpy as np

from metricfoundry_dagster.domain.errors import InternalError
from metricfoundry_dagster.domain.products import TableProduct
from metricfoundry_dagster.pipeline.staging.cut_records import Block
from metricfoundry_dagster.pipeline.staging.destinations import Written
from metricfoundry_dagster.pipeline.staging.find_marks import Positions
from metricfoundry_dagster.pipeline.staging.rejects import Rows
from metricfoundry_dagster.pipeline.staging.typed_columns import TooNarrowError, TypedColumn, schema_of
from metricfoundry_dagster.pipeline.staging.write_table import Destination, open_table

_FIRST_LOOK_RECORDS = 2_000

OpenBlocks = Callable[[], AbstractContextManager[Iterator[Block]]]


class BlockReader(Protocol):
    """Turns blocks into rows, and knows the columns."""

    columns: list[TypedColumn]

    def look(self, block: Block) -> None:
        """Learn the kinds of the columns from the first records."""

    def read(self, block: Block) -> Rows:
        """The rows of a block. Raises TooNarrowError when columns had to be widened."""


def write_blocks(open_blocks: OpenBlocks, reader: BlockReader, destination: Destination) -> Written:
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


def _looked_at(blocks: Iterator[Block], reader: BlockReader) -> Iterator[Block]:
    """All the blocks, after the reader has had its first look."""
    leading = []
    for block in blocks:
        leading.append(block)
        if _has_records(block):
            reader.look(block.first(_FIRST_LOOK_RECORDS))
            break
    return chain(leading, blocks)


def _write(blocks: Iterable[Block], reader: BlockReader, destination: Destination) -> Written:
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
                writer.write(rows.table, _lines_kept(block, rows))
                rejects += rows.rejects
            writer.reject(sorted(rejects, key=lambda reject: reject.first_line))
        columns = tuple(column.product() for column in reader.columns)
        table = TableProduct(destination.table, columns, rows_in, writer.rows_out, writer.rows_rejected)
        if not table.balances:
            message = f"{rows_in} records were counted, {table.rows_out} rows staged and {table.rows_rejected} rejected"
            raise InternalError("staging.out_of_balance", message)
        writer.finish()
    return table, writer.files()


def _lines_kept(block: Block, rows: Rows) -> Positions:
    lines = block.lines()
    return lines[~np.isin(lines, [reject.first_line for reject in rows.rejects])] if rows.rejects else lines


def _has_records(block: Block) -> bool:
    return block.record_count > 0

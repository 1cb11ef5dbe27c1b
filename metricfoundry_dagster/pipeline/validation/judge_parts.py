"""Takes the parts of one table through its compiled contract, part by part and batch by batch, and writes what changes.

A part in which every row holds and no column is cast is not written again: the staged file itself goes on. Which
rows are bad is `judge_rows`; whether that is too many is `validate_table`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metricfoundry_dagster.domain.products import ProductFile
from metricfoundry_dagster.pipeline.row_lines import RowLines
from metricfoundry_dagster.pipeline.validation.compiled_contract import CompiledContract
from metricfoundry_dagster.pipeline.validation.describe_bad_rows import QUARANTINE_SCHEMA, RowPlaces, explain, quarantine_rows
from metricfoundry_dagster.pipeline.validation.exact_casts import arrow_type
from metricfoundry_dagster.pipeline.validation.find_repeated_keys import RowSet, find_repeated_keys
from metricfoundry_dagster.pipeline.validation.judge_rows import BadRows, find_bad_rows, flag_repetitions, values_of
from metricfoundry_dagster.pipeline.validation.parquet_parts import ParquetObject, batches, open_part
from metricfoundry_dagster.pipeline.validation.tally_breaches import BreachTally
from metricfoundry_dagster.ports.object_store import ObjectStore

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the files of a table go: below `prefix`, which ends in a slash, in the artifacts of the store.

    `source` is the name of the file that the rows came from, for quarantine rows, whose `raw` is cut at `max_raw_chars`.
    """

    store: ObjectStore
    prefix: str
    source: str
    max_raw_chars: int


class PartsJudge:
    """The way of one table through its contract. After `judge` it knows the files, the counts and what was broken."""

    def __init__(
        self,
        table: str,
        contract: CompiledContract,
        into: Destination,
        on_rows: Callable[[int], None],
        batch_rows: int,
        lines: RowLines | None,
    ) -> None:
        self._table, self._contract, self._into, self._lines = table, contract, into, lines
        self._on_rows, self._batch_rows = on_rows, batch_rows
        self._repeated: dict[str, RowSet] = {}
        self._quarantine = ParquetObject(into.store, f"{into.prefix}quarantine/{table}.parquet", QUARANTINE_SCHEMA)
        self.tally = BreachTally(contract)
        self.files: list[ProductFile] = []
        self.rows_in = 0
        self.rows_valid = 0

    @property
    def rows_bad(self) -> int:
        """Rows in the quarantine."""
        return self._quarantine.rows

    def judge(self, parts: Sequence[ProductFile]) -> None:
        """Take every part through. Parts keep their order and their numbers; one without a valid row is left out."""
        if self._contract.keys:
            rows = sum(part.rows or 0 for part in parts)
            self._repeated = find_repeated_keys(self._contract.keys, self._key_values(parts), rows)
        with self._quarantine:
            for number, part in enumerate(parts):
                self._judge_part(part, number)
            if parts and not self.files:
                self._write_empty_part(parts[0])
        self.files += self._quarantine.as_files("quarantine", self._table)

    def _key_values(self, parts: Sequence[ProductFile]) -> Iterator[tuple[int, "pl.DataFrame"]]:
        columns = list(dict.fromkeys(column for key in self._contract.keys for column in key.columns))
        first_row = 0
        for part in parts:
            with open_part(part, self._into.store) as file:
                for batch in batches(file, [column.name for column in columns], self._batch_rows):
                    yield first_row, values_of(batch, columns)
                    first_row += batch.num_rows
                    self._on_rows(batch.num_rows)

    def _judge_part(self, part: ProductFile, number: int) -> None:
        with open_part(part, self._into.store) as file:
            rows = file.metadata.num_rows
            holding = 0 if self._contract.cast_columns else self._count_holding(file)
            if holding == rows and not self._contract.cast_columns:
                self.files.append(part)
                self.rows_valid += rows
            else:
                self._rewrite(file, number, told_rows=holding)
            self.rows_in += rows

    def _count_holding(self, file: pq.ParquetFile) -> int:
        """Rows in the batches from the start of the part that hold altogether. Reads what is judged and nothing else."""
        if not self._contract.checks:
            return int(file.metadata.num_rows)
        holding = 0
        for _, batch, values in self._judged(file, [column.name for column in self._contract.columns]):
            if find_bad_rows(values, self._contract) is not None:
                break
            holding += batch.num_rows
            self._on_rows(batch.num_rows)
        return holding

    def _rewrite(self, file: pq.ParquetFile, number: int, told_rows: int) -> None:
        """Write the valid rows of a part anew; of `told_rows` of them progress has been told already."""
        schema = self._schema_after(file.schema_arrow)
        with ParquetObject(self._into.store, self._key_of(number), schema) as valid:
            for first_row, batch, values in self._judged(file, file.schema_arrow.names):
                bad = find_bad_rows(values, self._contract)
                hold = np.ones(batch.num_rows, bool)
                if bad is not None:
                    self._put_aside(bad, batch, first_row)
                    hold[bad.positions] = False
                if hold.any():
                    valid.write(self._after(batch, values, hold, schema))
                done_rows = first_row + batch.num_rows - self.rows_in
                self._on_rows(max(0, done_rows - told_rows))
                told_rows = max(told_rows, done_rows)
        self.files += valid.as_files("part", self._table)
        self.rows_valid += valid.rows

    def _judged(self, file: pq.ParquetFile, names: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch, "pl.DataFrame"]]:
        """The number of its first row, the batch, and the values of its judged columns with the flags of the keys."""
        first_row = self.rows_in
        for batch in batches(file, names, self._batch_rows):
            yield first_row, batch, flag_repetitions(values_of(batch, self._contract.columns), self._repeated, first_row)
            first_row += batch.num_rows

    def _put_aside(self, bad: BadRows, batch: pa.RecordBatch, first_row: int) -> None:
        import polars as pl  # a warm parent process must not have used Polars before it forks

        reasons = explain(bad)
        numbers = bad.positions.astype(np.int64) + first_row + 1
        rows = pl.Series("row", numbers)
        if self._lines is None:
            lines = pl.repeat(None, len(numbers), dtype=pl.Int64, eager=True)
        else:
            lines = pl.Series("line", self._lines.of(numbers))
        staged = batch.take(pa.array(bad.positions))
        places = RowPlaces(rows, lines)
        self._quarantine.write(quarantine_rows(reasons, places, staged, self._into.source, self._into.max_raw_chars))
        self.tally.add(reasons, rows)

    def _after(self, batch: pa.RecordBatch, values: "pl.DataFrame", hold: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
        """The rows that hold, cast; every column that is not cast is the staged one, untouched."""
        casts = {column.name: column for column in self._contract.cast_columns}
        arrays = [
            values.get_column(casts[name].value).to_arrow().cast(arrow_type(casts[name].type)) if name in casts else staged
            for name, staged in zip(batch.schema.names, batch.columns, strict=True)
        ]
        after = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return after if hold.all() else after.filter(pa.array(hold))

    def _write_empty_part(self, part: ProductFile) -> None:
        """A table whose rows are all bad still has its columns."""
        with open_part(part, self._into.store) as file:
            schema = self._schema_after(file.schema_arrow)
        with ParquetObject(self._into.store, self._key_of(0), schema) as empty:
            empty.write(schema.empty_table())
        self.files += empty.as_files("part", self._table)

    def _schema_after(self, staged: pa.Schema) -> pa.Schema:
        for column in self._contract.cast_columns:
            at = staged.get_field_index(column.name)
            staged = staged.set(at, staged.field(at).with_type(arrow_type(column.type)))
        return staged

    def _key_of(self, number: int) -> str:
        return f"{self._into.prefix}{self._table}/part-{number:05d}.parquet"

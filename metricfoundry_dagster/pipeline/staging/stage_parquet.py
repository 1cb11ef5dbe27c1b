"""Stages a Parquet file batch by batch: the same values under the types that the stages after it expect.

The footer's count of rows stands beside what was read. Sizes in a footer may lie, so the bytes of what is unpacked
are counted and bounded.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metricfoundry_dagster.domain.errors import InternalError, Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column, TableProduct
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.recognise_format import TAIL_BYTES, require_parquet_ends
from metricfoundry_dagster.pipeline.staging.column_names import safe_names
from metricfoundry_dagster.pipeline.staging.destinations import Destinations, Written
from metricfoundry_dagster.pipeline.staging.json_text import json_text
from metricfoundry_dagster.pipeline.staging.unpack_bytes import unpacked_file
from metricfoundry_dagster.pipeline.staging.write_table import Destination, open_table

_BATCH_ROWS = 64 * 1024
_BYTES_PER_VALUE = 64


def stage_parquet(
    path: Path, recipe: Recipe, to: Destinations, limits: Limits, progress: Callable[[float], None], *, block_bytes: int
) -> list[Written]:
    """Write the one table of the file; `block_bytes` is about how much of it is in memory at a time.

    Raises:
        UserError: `parquet.broken_footer`, `parquet.corrupt`, `parquet.unsupported`, `request.invalid` for given
            types, `csv.too_many_columns`, `file.too_large` when it unpacks to more than the limit, or as
            `UnpackedBytes.chunks` for a compressed file.
        InternalError: `staging.out_of_balance`.
    """
    table = to.only()
    with _plain_file(path, recipe, table.source, limits) as plain, _opened(plain, table.source) as file:
        schema = _checked_schema(file, table.source, limits)
        batch_rows = max(1, min(_BATCH_ROWS, block_bytes // max(_BYTES_PER_VALUE * len(schema), 1)))
        exact: set[int] = set()
        while True:
            try:
                return [_Reading(schema, exact, table.source, limits).run(file, table, progress, batch_rows)]
            except _NotInMicrosecondsError as found:
                exact.add(found.number)


def parquet_columns(path: Path, recipe: Recipe, source: str, limits: Limits) -> tuple[Column, ...]:
    """The columns as they will be staged, if all timestamps fit microseconds. Raises as `stage_parquet`."""
    with _plain_file(path, recipe, source, limits) as plain, _opened(plain, source) as file:
        return _Reading(_checked_schema(file, source, limits), set(), source, limits).columns()


@contextmanager
def _plain_file(path: Path, recipe: Recipe, source: str, limits: Limits) -> Iterator[Path]:
    if recipe.types:
        raise UserError("request.invalid", "a Parquet file has its types already", place=Place(file=source))
    with tempfile.TemporaryDirectory() as scratch:
        unpacked = unpacked_file(path, recipe.compression, filename=source, limits=limits, scratch=Path(scratch))
        with unpacked as plain:
            if recipe.compression != "none":
                _require_ends(plain, source)
            yield plain


def _checked_schema(file: pq.ParquetFile, source: str, limits: Limits) -> pa.Schema:
    schema = file.schema_arrow
    if len(schema) > limits.max_columns:
        message = f"the file has {len(schema)} columns, {limits.max_columns} are allowed"
        raise UserError("csv.too_many_columns", message, place=Place(file=source))
    return schema


class _NotInMicrosecondsError(Exception):
    """A timestamp of column `number` has nanoseconds, or lies too far away, so the column must stay as it is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Reading:
    """One pass over the file. `exact` are the columns whose timestamps stay in the unit they have."""

    def __init__(self, schema: pa.Schema, exact: set[int], source: str, limits: Limits) -> None:
        self._source, self._limits, self._exact = source, limits, exact
        self._fields = list(schema)
        self._names = safe_names([field.name for field in schema])
        self._types = [field.type if number in exact else staged_type(field.type) for number, field in enumerate(schema)]

    def columns(self) -> tuple[Column, ...]:
        """The columns as others see them."""
        return tuple(
            Column(name, field.name, str(type_), field.nullable)
            for name, field, type_ in zip(self._names, self._fields, self._types, strict=True)
        )

    def run(self, file: pq.ParquetFile, to: Destination, progress: Callable[[float], None], batch_rows: int) -> Written:
        """Write all batches of the file."""
        schema = pa.schema(list(zip(self._names, self._types, strict=True)))
        rows_in, unpacked_bytes = file.metadata.num_rows, 0
        with open_table(to, schema) as writer:
            for batch in _batches(file, batch_rows, self._source):
                unpacked_bytes += batch.nbytes
                if unpacked_bytes > self._limits.max_unpacked_bytes:
                    message = f"the file unpacks to more than {self._limits.max_unpacked_bytes} bytes"
                    raise UserError("file.too_large", message, place=Place(file=self._source))
                arrays = [self._converted(number, array) for number, array in enumerate(batch.columns)]
                writer.write(pa.table(arrays, schema=schema))
                progress(writer.rows_out / rows_in)
            if writer.rows_out != rows_in:
                message = f"the footer counts {rows_in} rows, {writer.rows_out} were read"
                raise InternalError("staging.out_of_balance", message)
            writer.finish()
        return TableProduct(to.table, self.columns(), rows_in, writer.rows_out, 0), writer.files()

    def _converted(self, number: int, array: pa.Array) -> pa.Array:
        type_ = self._types[number]
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        if pa.types.is_nested(array.type):
            return pa.array([None if value is None else json_text(value) for value in array.to_pylist()], pa.string())
        if pa.types.is_timestamp(type_) and number not in self._exact:
            try:
                return pc.cast(array, type_)
            except pa.ArrowInvalid as error:
                raise _NotInMicrosecondsError(number) from error
        return pc.cast(array, type_)


def _batches(file: pq.ParquetFile, batch_rows: int, source: str) -> Iterator[pa.RecordBatch]:
    """The file's record batches; damage among them is a user's error."""
    batches = file.iter_batches(batch_size=batch_rows, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except (OSError, pa.ArrowException) as error:
            raise _refusal(error, source) from error
        if batch is None:
            return
        yield batch


def staged_type(type_: pa.DataType) -> pa.DataType:
    """The type under which values of a Parquet type are staged, if they all fit it."""
    if isinstance(type_, pa.BaseExtensionType):
        return staged_type(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return staged_type(type_.value_type)
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", tz="UTC" if type_.tz else None)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_) or pa.types.is_null(type_) or pa.types.is_nested(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return pa.binary()
    return type_


def _opened(path: Path, source: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=False)
    except (OSError, pa.ArrowException) as error:
        refusal = _refusal(error, source)
        if refusal.code == "parquet.corrupt":
            message = f"the footer cannot be read: {_first_line(error)}"
            raise UserError("parquet.broken_footer", message, place=Place(file=source)) from error
        raise refusal from error


def _refusal(error: Exception, source: str) -> UserError:
    place = Place(file=source)
    if isinstance(error, pa.ArrowNotImplementedError):
        return UserError("parquet.unsupported", f"the file cannot be read: {_first_line(error)}", place=place)
    return UserError("parquet.corrupt", f"the data cannot be read: {_first_line(error)}", place=place)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _require_ends(path: Path, source: str) -> None:
    with path.open("rb") as stream:
        head = stream.read(TAIL_BYTES)
        size_bytes = stream.seek(0, 2)
        stream.seek(max(size_bytes - TAIL_BYTES, 0))
        require_parquet_ends(head, stream.read(), source, size_bytes)

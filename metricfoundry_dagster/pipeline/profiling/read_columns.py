"""Reading a table's Parquet parts one column at a time, as 64-bit values or as chunks of text.

Everything that knows Arrow's memory layout belongs here. What is counted in the values belongs in `count_*.py`.
Row groups are decoded one after another into one buffer, so a column costs its values and one row group.

Arrow's buffers are viewed rather than converted: `to_numpy`, `pa.array` and `pa.scalar` import pandas when it is
installed, which costs a quarter of a second in a process that needs nothing else of it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: Tables of at most this many cells and bytes are read in one go: a small dataset is all overhead.
_READ_AT_ONCE_CELLS = 2_000_000
_READ_AT_ONCE_BYTES = 32 * 1024**2
_DECIMAL_DIGITS_IN_64_BITS = 18


@dataclass(frozen=True, slots=True)
class FixedColumn:
    """All rows of a column of fixed width, in order.

    `values` holds anything where `valid` is False; `valid` is None when no row is null. The arrays belong to
    the holder and may be changed.
    """

    values: Values
    valid: Mask | None

    @property
    def present(self) -> Values:
        """The values that are not null; the same array as `values` when none is."""
        return self.values if self.valid is None else self.values[self.valid]

    @property
    def nulls(self) -> int:
        """How many rows are null."""
        return 0 if self.valid is None else len(self.valid) - int(np.count_nonzero(self.valid))


class TableFiles:
    """The Parquet parts of one table, in the order of their rows. Use `with`; the parts have one schema."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open every part.

        Raises:
            OSError, ArrowInvalid: a part is missing or no Parquet file.
        """
        self._plain = [pq.ParquetFile(path) for path in paths]
        self.schema: pa.Schema = self._plain[0].schema_arrow if paths else pa.schema([])
        self.rows = sum(file.metadata.num_rows for file in self._plain)
        self.size_bytes = sum(path.stat().st_size for path in paths)
        texts = [field.name for field in self.schema if is_text(field.type) or pa.types.is_binary(field.type)]
        self._as_dictionary = [
            pq.ParquetFile(path, read_dictionary=texts, metadata=file.metadata) if texts else file
            for path, file in zip(paths, self._plain, strict=True)
        ]
        #: Whether the table was read in one go. A footer's byte count may lie, the number of cells does not.
        self.is_small = self.rows * len(self.schema) <= _READ_AT_ONCE_CELLS and self._unpacked_bytes() <= _READ_AT_ONCE_BYTES
        self._whole = self._read_whole() if self.is_small else None

    def type_of(self, name: str) -> pa.DataType:
        """The type in which `chunks` gives a column: dictionaries decoded, extensions as their storage, one kind of string."""
        return _plain_type(self.schema.field(name).type)

    def chunks(self, name: str) -> Iterator[pa.Array]:
        """A column's values as `type_of` says, in order, at most a row group at a time."""
        data_type = self.type_of(name)
        for chunk in self._stored_chunks(self._plain, name):
            yield _as_plain(chunk, data_type)

    def encoded_chunks(self, name: str, *, first_only: bool = False) -> Iterator[pa.DictionaryArray]:
        """The same dictionary-encoded, each chunk with a dictionary of its own."""
        data_type = self.type_of(name)
        encoded = pa.dictionary(pa.int32(), data_type)
        for chunk in self._stored_chunks(self._as_dictionary, name):
            yield chunk if chunk.type == encoded else _as_plain(chunk, data_type).dictionary_encode()
            if first_only:
                return

    def _stored_chunks(self, files: Sequence[pq.ParquetFile], name: str) -> Iterator[pa.Array]:
        if self._whole is not None:
            yield from self._whole.column(name).chunks
            return
        for file in files:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=[name], use_threads=False).column(name).chunks

    def fixed(self, name: str) -> FixedColumn:
        """A whole column of numbers, times or booleans as 64-bit (or narrower integer) values.

        Times are counted in their unit since the epoch, decimals in units of their last digit, booleans are 0
        and 1. -0.0 becomes 0.0 and every NaN the same NaN, so that equal values are equal bits.
        """
        read = _fixed_reader(self.type_of(name))
        values = np.empty(self.rows, dtype=read.dtype)
        valid: Mask | None = None
        start = 0
        for chunk in self.chunks(name):
            end = start + len(chunk)
            with np.errstate(invalid="ignore"):  # whatever lies under a null may be a signalling NaN
                values[start:end] = read.view(chunk)
            if chunk.null_count:
                valid = np.ones(self.rows, dtype=np.bool_) if valid is None else valid
                valid[start:end] = valid_mask(chunk)
            start = end
        if values.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                values += 0.0
            values[np.isnan(values)] = np.nan
        return FixedColumn(values, valid)

    def close(self) -> None:
        """Close every part."""
        for file in (*self._plain, *self._as_dictionary):
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _unpacked_bytes(self) -> int:
        groups = ((file.metadata, number) for file in self._plain for number in range(file.num_row_groups))
        return sum(metadata.row_group(number).total_byte_size for metadata, number in groups)

    def _read_whole(self) -> pa.Table:
        return pa.concat_tables([file.read(use_threads=False) for file in self._as_dictionary]) if self._plain else pa.table({})


def is_fixed(data_type: pa.DataType) -> bool:
    """Whether every value fits into 64 bits: numbers, times, booleans and decimals of up to 18 digits."""
    if pa.types.is_decimal(data_type):
        return bool(data_type.precision <= _DECIMAL_DIGITS_IN_64_BITS)
    temporal = pa.types.is_temporal(data_type) and not pa.types.is_interval(data_type)
    return bool(temporal or is_number(data_type) or pa.types.is_boolean(data_type))


def is_number(data_type: pa.DataType) -> bool:
    """Whether the type is an integer or a floating-point number."""
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type))


def is_text(data_type: pa.DataType) -> bool:
    """Whether the type is a string, in any of Arrow's layouts."""
    return bool(pa.types.is_string(data_type) or pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type))


def is_nested(data_type: pa.DataType) -> bool:
    """Whether values hold values, or have no bytes that could be compared; such values are read as JSON text."""
    return bool(pa.types.is_nested(data_type) or pa.types.is_interval(data_type))


def valid_mask(chunk: pa.Array) -> Mask:
    """True where a value is not null."""
    mask: Mask = _bits(chunk, 0).astype(np.bool_) if chunk.buffers()[0] is not None else np.ones(len(chunk), dtype=np.bool_)
    return mask


@dataclass(frozen=True, slots=True)
class _FixedReader:
    """How chunks of one type become numbers: `view` gives an array as long as the chunk, to be held as `dtype`."""

    dtype: np.dtype[Any]
    view: Callable[[pa.Array], Values]


def _fixed_reader(data_type: pa.DataType) -> _FixedReader:
    if pa.types.is_boolean(data_type):
        return _FixedReader(np.dtype(np.uint8), lambda chunk: _bits(chunk, 1))
    if pa.types.is_decimal(data_type) and data_type.bit_width > 64:
        # Little-endian two's complement: the low word is the value as long as the precision fits into 64 bits.
        low_word = np.dtype({"names": ["low"], "formats": ["<i8"], "itemsize": data_type.bit_width // 8})
        return _FixedReader(np.dtype(np.int64), lambda chunk: _view(chunk, low_word)["low"])
    letter = "f" if pa.types.is_floating(data_type) else "u" if pa.types.is_unsigned_integer(data_type) else "i"
    stored = np.dtype(f"{letter}{data_type.bit_width // 8}")
    return _FixedReader(np.dtype(np.float64) if letter == "f" else stored, lambda chunk: _view(chunk, stored))


def _plain_type(data_type: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(data_type):
        return _plain_type(data_type.value_type)
    if isinstance(data_type, pa.BaseExtensionType):
        return _plain_type(data_type.storage_type)
    if is_text(data_type):
        return pa.string()
    if pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type) or pa.types.is_binary_view(data_type):
        return pa.binary()
    return pa.binary() if pa.types.is_fixed_size_binary(data_type) else pa.string() if is_nested(data_type) else data_type


def _as_plain(chunk: pa.Array, data_type: pa.DataType) -> pa.Array:
    while pa.types.is_dictionary(chunk.type) or isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk.dictionary_decode()
    if is_nested(chunk.type):
        return pa.array([None if value is None else _json_text(value) for value in chunk.to_pylist()], data_type)
    return chunk if chunk.type == data_type else chunk.cast(data_type)


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def integers_of(array: pa.Array) -> Values:
    """A view of an Arrow array of integers; anything where it is null."""
    return _view(array, np.dtype(array.type.to_pandas_dtype()))


def codes_of(chunk: pa.DictionaryArray) -> Values:
    """The places in its dictionary, as int32, and -1 where it is null."""
    codes = integers_of(chunk.indices).astype(np.int32)
    if chunk.null_count:
        codes[~valid_mask(chunk.indices)] = -1
    return codes


def take_rows(chunk: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    """The values at some places of a chunk."""
    return chunk.take(pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)]))


def _view(chunk: pa.Array, dtype: np.dtype[Any]) -> Values:
    buffer = chunk.buffers()[1]
    if buffer is None:
        return np.zeros(len(chunk), dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(chunk), offset=chunk.offset * dtype.itemsize)


def _bits(chunk: pa.Array, buffer: int) -> Values:
    packed = chunk.buffers()[buffer]
    if packed is None:
        return np.zeros(len(chunk), dtype=np.uint8)
    first, after = chunk.offset, chunk.offset + len(chunk)
    whole_bytes = np.frombuffer(packed, dtype=np.uint8)[first // 8 : (after + 7) // 8]
    return np.unpackbits(whole_bytes, bitorder="little")[first % 8 : first % 8 + len(chunk)]

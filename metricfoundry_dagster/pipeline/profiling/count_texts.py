"""Distinct texts (or bytes) of a column with their counts, exact, without sorting a text.

A column that repeats itself is dictionary-encoded, which Parquet has mostly done already. One whose first row
group hardly repeats is read as 64-bit hashes: a value whose hash occurs once is certainly distinct, and only the
rows that share a hash are read again and compared as text, so the result is exact. Memory then is 8 bytes a row
(24 while sorting) and the texts that repeat, in passes of bounded size, whatever the texts weigh.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from metricfoundry_dagster.pipeline.profiling.count_numbers import Counts
from metricfoundry_dagster.pipeline.profiling.describe_numbers import TOP_VALUES, top_places
from metricfoundry_dagster.pipeline.profiling.read_columns import (
    Mask,
    TableFiles,
    Values,
    codes_of,
    integers_of,
    take_rows,
    valid_mask,
)

#: Share of distinct values in the first row group above which a column is hashed rather than encoded.
_HARDLY_REPEATS = 0.3
#: Repeated texts that are held at once when a hashed column is read again.
_PASS_BYTES = 256 * 1024**2
_LARGEST_STRING_ARRAY_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of texts in characters, or of binary values in bytes; `total` is the sum over all rows."""

    minimum: int
    maximum: int
    total: int


_NO_LENGTHS = Lengths(0, 0, 0)


@dataclass(frozen=True, slots=True)
class CountedTexts:
    """A column of text or bytes, counted. Values are bytes, UTF-8 for text; minimum and maximum by their order.

    `ids` has one 64-bit number per row: equal for equal values and, but for collisions of hashes, only for these.
    """

    nulls: int
    distinct: int
    #: Rows with an empty text, or one of white space only; 0 for bytes.
    blanks: int
    top: tuple[tuple[bytes, int], ...]
    minimum: bytes | None
    maximum: bytes | None
    lengths: Lengths | None
    ids: Values


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """A column as codes into a dictionary without repetition; the code of a null is -1."""

    codes: Values
    dictionary: pa.Array
    #: Rows per entry of the dictionary; 0 for an entry that no row uses.
    counts: Counts

    @property
    def nulls(self) -> int:
        """How many rows are null."""
        return len(self.codes) - int(self.counts.sum())


def count_texts(files: TableFiles, name: str) -> CountedTexts:
    """Count a column of text or bytes, the cheaper way."""
    if _is_worth_encoding(files, name):
        return _count_encoded(encode_column(files, name))
    return count_hashed(files, name)


def encode_column(files: TableFiles, name: str) -> EncodedColumn:
    """Encode a whole column. Holds 4 bytes a row and the dictionaries of all row groups."""
    return _encoded(list(files.encoded_chunks(name)), files.type_of(name))


def codes_of_rows(files: TableFiles, name: str, rows: Values) -> Values:
    """For each of the rows, ascending from 0, a number that only rows with the same value have."""
    if _is_worth_encoding(files, name):
        return encode_column(files, name).codes[rows]
    chosen = np.zeros(files.rows, dtype=np.bool_)
    chosen[rows] = True
    return _encoded(list(_chosen_chunks(files, name, chosen)), files.type_of(name)).codes


def count_hashed(files: TableFiles, name: str, *, hash_bits: int = 64, pass_bytes: int = _PASS_BYTES) -> CountedTexts:
    """Count a column that hardly repeats. Fewer `hash_bits` bring about the collisions that it must survive."""
    hashes = np.empty(files.rows, dtype=np.uint64)
    valid = np.ones(files.rows, dtype=np.bool_)
    seen: list[_Measured] = []
    start = 0
    for chunk in files.chunks(name):
        end = start + len(chunk)
        hashes[start:end] = pl.Series(chunk).hash().to_numpy() >> np.uint64(64 - hash_bits)
        valid[start:end] = valid_mask(chunk)
        seen.append(_measure(chunk.drop_null(), None))
        start = end
    present = hashes[valid]
    present.sort()
    distinct, top = _count_repeated(files, name, _Hashed(present, hashes, valid), seen, pass_bytes)
    hashes[~valid] = 0
    return replace(_joined(seen), nulls=len(valid) - len(present), distinct=distinct, ids=hashes, top=top)


def _is_worth_encoding(files: TableFiles, name: str) -> bool:
    if files.is_small:
        return True
    first = next(files.encoded_chunks(name, first_only=True), None)
    return first is None or len(first.dictionary) <= _HARDLY_REPEATS * len(first)


def _chosen_chunks(files: TableFiles, name: str, chosen: Mask) -> Iterator[pa.DictionaryArray]:
    start = 0
    for chunk in files.chunks(name):
        picked = np.flatnonzero(chosen[start : start + len(chunk)])
        start += len(chunk)
        if len(picked):
            yield take_rows(chunk, picked).dictionary_encode()


def _encoded(chunks: list[pa.DictionaryArray], data_type: pa.DataType) -> EncodedColumn:
    if not chunks:
        return EncodedColumn(np.empty(0, dtype=np.int32), pa.nulls(0, data_type), np.empty(0, dtype=np.int64))
    unified = _with_one_dictionary(chunks)
    codes = np.concatenate([codes_of(chunk) for chunk in unified])
    counts = np.bincount(codes + 1, minlength=len(unified[0].dictionary) + 1)[1:]
    return EncodedColumn(codes, unified[0].dictionary, counts.astype(np.int64, copy=False))


def _with_one_dictionary(chunks: list[pa.DictionaryArray]) -> list[pa.DictionaryArray]:
    if len(chunks) == 1 and len(chunks[0].dictionary.unique()) == len(chunks[0].dictionary):
        return chunks
    text_bytes = sum(chunk.dictionary.nbytes for chunk in chunks)
    if text_bytes > _LARGEST_STRING_ARRAY_BYTES and not pa.types.is_decimal(chunks[0].dictionary.type):
        wide = pa.large_string() if pa.types.is_string(chunks[0].dictionary.type) else pa.large_binary()
        chunks = [pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(wide)) for chunk in chunks]
    if len(chunks) == 1:  # a lone dictionary with repetitions is left as it is by unifying
        return [chunks[0].dictionary_decode().dictionary_encode()]
    unified: list[pa.DictionaryArray] = pa.chunked_array(chunks).unify_dictionaries().chunks
    return unified


def _count_encoded(column: EncodedColumn) -> CountedTexts:
    used = np.flatnonzero(column.counts)
    values, counts = column.dictionary, column.counts
    if len(used) < len(values):
        values, counts = take_rows(values, used), counts[used]
    top = tuple((_bytes(values[place]), int(counts[place])) for place in top_places(counts))
    measured = _joined([_measure(values, counts)])
    return replace(measured, nulls=column.nulls, distinct=len(values), top=top, ids=column.codes)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What can be known of a chunk of values alone."""

    blanks: int
    minimum: bytes | None
    maximum: bytes | None
    lengths: Lengths | None


def _measure(values: pa.Array, counts: Counts | None) -> _Measured:
    """Measure values without nulls that occur `counts` times each, or once."""
    if not len(values):
        return _Measured(0, None, None, None)
    is_text = not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type))
    try:
        trimmed = pc.utf8_trim_whitespace(values) if is_text else values
        sizes = pc.utf8_length(values) if is_text else pc.binary_length(values)
    except pa.ArrowInvalid:  # written by a tool that did not check its UTF-8: measure what can be shown
        readable = pa.array([_bytes(value).decode(errors="replace") for value in values], pa.string())
        trimmed, sizes = pc.utf8_trim_whitespace(readable), pc.utf8_length(readable)
    blank = integers_of(pc.binary_length(trimmed)) == 0 if is_text else np.zeros(len(values), np.bool_)
    lengths = integers_of(sizes).astype(np.int64)
    extremes = pc.min_max(values)
    return _Measured(
        int(np.count_nonzero(blank) if counts is None else counts[blank].sum()),
        _bytes(extremes["min"]),
        _bytes(extremes["max"]),
        Lengths(int(lengths.min()), int(lengths.max()), int(lengths.sum() if counts is None else np.dot(lengths, counts))),
    )


def _joined(parts: list[_Measured]) -> CountedTexts:
    lengths = [part.lengths for part in parts if part.lengths is not None] or [_NO_LENGTHS]
    minima = [part.minimum for part in parts if part.minimum is not None]
    maxima = [part.maximum for part in parts if part.maximum is not None]
    joined = Lengths(min(x.minimum for x in lengths), max(x.maximum for x in lengths), sum(x.total for x in lengths))
    return CountedTexts(
        nulls=0,
        distinct=0,
        blanks=sum(part.blanks for part in parts),
        top=(),
        minimum=min(minima, default=None),
        maximum=max(maxima, default=None),
        lengths=joined if minima else None,
        ids=np.empty(0, dtype=np.int64),
    )


@dataclass(frozen=True, slots=True)
class _Hashed:
    """Hashes of a column: sorted without nulls, and in the order of rows with the rows that are not null."""

    ordered: Values
    hashes: Values
    valid: Mask


def _count_repeated(
    files: TableFiles, name: str, column: _Hashed, seen: list[_Measured], pass_bytes: int
) -> tuple[int, tuple[tuple[bytes, int], ...]]:
    """Distinct values of the whole column, and the commonest."""
    after = column.ordered[1:]
    shared = np.unique(after[after == column.ordered[:-1]])
    if not len(shared):
        return len(column.ordered), tuple((value, 1) for value in _first_texts(files, name, column.valid))
    candidates = column.valid & _contains(shared, column.hashes)
    rows = int(np.count_nonzero(candidates))
    mean_bytes = 4 * sum(part.lengths.total for part in seen if part.lengths) / len(column.ordered)
    passes = 1 + int(rows * mean_bytes // pass_bytes)
    distinct, top = len(column.ordered) - rows, []
    for number in range(passes):
        # A value's hash decides its pass, so no value is met in two of them.
        chosen = candidates if passes == 1 else candidates & (column.hashes % np.uint64(passes) == number)
        encoded = _encoded(list(_chosen_chunks(files, name, chosen)), files.type_of(name))
        distinct += len(encoded.dictionary)
        top += [(_bytes(encoded.dictionary[place]), int(encoded.counts[place])) for place in top_places(encoded.counts)]
    top += [(value, 1) for value in _first_texts(files, name, column.valid & ~candidates)]
    return distinct, tuple(sorted(top, key=lambda entry: -entry[1])[:TOP_VALUES])


def _first_texts(files: TableFiles, name: str, chosen: Mask) -> list[bytes]:
    """The values of the first few chosen rows."""
    rows = np.flatnonzero(chosen)[:TOP_VALUES]
    found: list[bytes] = []
    start = 0
    for chunk in files.chunks(name):
        if len(found) == len(rows):
            break
        found += [_bytes(chunk[int(row) - start]) for row in rows if start <= row < start + len(chunk)]
        start += len(chunk)
    return found


def _contains(shared: Values, hashes: Values) -> Mask:
    places = np.searchsorted(shared, hashes)
    found: Mask = shared[np.minimum(places, len(shared) - 1)] == hashes
    return found


def _bytes(value: pa.Scalar) -> bytes:
    return bytes(value.as_buffer())

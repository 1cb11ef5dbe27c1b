"""The types of a sheet's columns: from what the reader gives for a column, or from the kinds of its cells.

Numbers that are all whole become int64, days alone become dates, times of day and durations become text as a workbook
shows them, and a column of mixed cells becomes text.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metricfoundry_dagster.pipeline.staging.text_kinds import EXACT_FLOAT_LIMIT

_MOMENT = pa.timestamp("us")
_DAY_US = 86_400_000_000
#: The days on which times of day lie, in the two ways of counting days: 1899-12-31 and 1904-01-01, from 1970.
_DAY_ZERO_1900, _DAY_ZERO_1904 = -25_568, -24_107
_WHOLE_KINDS = frozenset({"Int", "Float"})
_MOMENT_KINDS = frozenset({"Moment", "DateTimeIso"})
_NO_VALUE = frozenset({None, "Error"})


def typed_column(column: pa.ChunkedArray, *, since_1904: bool) -> pa.ChunkedArray:
    """A column that is of one kind, under the type that it is staged as."""
    type_ = column.type
    if pa.types.is_floating(type_):
        return _whole(column)
    if pa.types.is_timestamp(type_):
        return _moments(column.cast(_MOMENT), since_1904=since_1904)
    if pa.types.is_duration(type_):
        return _clock_texts(column.cast(pa.duration("ms")).cast(pa.int64()))
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_null(type_):
        return _without_empty(column.cast(pa.string()))
    return column


def typed_cells(texts: pa.ChunkedArray, kinds: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column by the kinds of its cells: of one type if they are of one kind, else their texts."""
    texts = _without_empty(texts)
    kinds = pc.if_else(texts.is_valid(), pc.fill_null(kinds, "Unknown"), pa.scalar(None, pa.string()))
    found = frozenset(pc.unique(kinds).to_pylist()) - _NO_VALUE
    if found and found <= _WHOLE_KINDS:
        return _whole(texts.cast(pa.float64()))
    if found == {"Bool"}:
        return pc.equal(texts, "TRUE")
    if found == {"DateTimeIso"}:
        return _iso_moments(texts)
    shown = pc.replace_substring_regex(texts, r"^(\d{4}-\d\d-\d\d) 00:00:00$", r"\1")
    return pc.if_else(pc.is_in(kinds, pa.array(sorted(_MOMENT_KINDS))), shown, texts)


def _without_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null for a text without a character, as which formulas spell a blank."""
    empty = pc.equal(texts, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), texts) if pc.any(empty).as_py() else texts


def as_text_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as texts, for a type that a person asked for."""
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """int64 when every number is whole, and so small that a workbook holds it exactly."""
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    bounds = pc.min_max(whole).as_py()
    if bounds["min"] is None or max(-bounds["min"], bounds["max"]) < EXACT_FLOAT_LIMIT:
        return whole
    return column


def _moments(column: pa.ChunkedArray, *, since_1904: bool) -> pa.ChunkedArray:
    """Dates when there is no time of day, texts when there is nothing else."""
    microseconds = column.cast(pa.int64())
    values = pc.drop_null(microseconds).to_numpy()
    if not len(values):
        return column.cast(pa.string())
    days, rest = np.divmod(values, _DAY_US)
    zero = _DAY_ZERO_1904 if since_1904 else _DAY_ZERO_1900
    if (days == zero).all():
        return _clock_texts(pc.divide(pc.subtract(microseconds, zero * _DAY_US), 1_000))
    if not since_1904 and (days == zero).any():
        return _shown(column)
    return column if rest.any() else column.cast(pa.date32())


def _shown(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts of moments among which are times of day: those lie on a day that no workbook has."""
    texts = column.cast(pa.timestamp("s"), safe=False).cast(pa.string())
    if pc.any(pc.not_equal(column, column.cast(pa.timestamp("s"), safe=False))).as_py():
        texts = column.cast(pa.timestamp("ms")).cast(pa.string())
    return pc.replace_substring_regex(pc.replace_substring_regex(texts, "^1899-12-31 ", ""), r" 00:00:00(\.000)?$", "")


def _iso_moments(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return _moments(texts.cast(_MOMENT), since_1904=False)
    except pa.ArrowInvalid:
        return texts


def _clock_texts(milliseconds: pa.ChunkedArray) -> pa.ChunkedArray:
    """`HH:MM:SS`, with more hours than a day has where it is longer, and milliseconds where there are any."""
    texts = [None if value is None else _clock_text(value) for value in milliseconds.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _clock_text(milliseconds: int) -> str:
    seconds, rest = divmod(abs(milliseconds), 1_000)
    text = f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return ("-" if milliseconds < 0 else "") + text + (f".{rest:03d}" if rest else "")

"""What the texts of a column can be, exactly, and their conversion.

The kinds form a lattice: `join` of the kinds of all texts is the kind of the column, in whatever order and in
whatever blocks they come. A text never changes its value by becoming typed, else it stays text:

    NULL    nothing but nulls so far          INT     int64, no leading zero, no plus, no 0x
    BOOL    true, True, TRUE and their likes  BIG     INT from 2^53 on, which joins no float
    DATE    2024-05-01                        FLOAT   float64; from 2^53 on only with an exponent
    TIME    date and time without a zone      ZONED   date and time with Z or an offset
    TEXT    all else, and every mixture that is not DATE with TIME or INT with FLOAT

Blanks around a value do not count. A null's spelling (`NULL_SPELLINGS`, blanks alone) is null in a typed column
and text in a column of text.
"""

import math
import re
from enum import StrEnum
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Kind(StrEnum):
    """The kinds of the lattice."""

    NULL = "null"
    BOOL = "bool"
    INT = "int"
    BIG = "big"
    FLOAT = "float"
    DATE = "date"
    TIME = "time"
    ZONED = "zoned"
    TEXT = "text"


NULL_SPELLINGS = ("", "NA", "N/A", "null", "NULL", "None", "NaN", "nan", "\\N")
#: From here on float64 does not hold every integer.
EXACT_FLOAT_LIMIT = 2**53
_FEW_TEXTS = 500
NUMERIC = frozenset({Kind.INT, Kind.BIG, Kind.FLOAT})

_TYPES: dict[Kind, pa.DataType] = {
    Kind.NULL: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.BIG: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.timestamp("us"),
    Kind.ZONED: pa.timestamp("us", tz="UTC"),
    Kind.TEXT: pa.string(),
}
_KINDS = {type_: kind for kind, type_ in _TYPES.items() if kind not in (Kind.NULL, Kind.BIG)}
_WIDER = {
    frozenset({Kind.INT, Kind.BIG}): Kind.BIG,
    frozenset({Kind.INT, Kind.FLOAT}): Kind.FLOAT,
    frozenset({Kind.DATE, Kind.TIME}): Kind.TIME,
}

TRUE_TEXTS = ("true", "True", "TRUE")
FALSE_TEXTS = ("false", "False", "FALSE")
_BLANKS = " \t"
_INT = r"^-?(0|[1-9][0-9]*)$"
_FLOAT = r"^(-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|Inf|INF|[iI]nfinity))$"
_INFINITE = r"^[+-]?(inf|Inf|INF|[iI]nfinity)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_CLOCK = r"[ T][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
_TIME = _DATE[:-1] + rf"({_CLOCK})?$"
_ZONED = _DATE[:-1] + _CLOCK + r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_BOOL = "^(" + "|".join(TRUE_TEXTS + FALSE_TEXTS) + ")$"
_PATTERNS = (
    (Kind.BOOL, _BOOL),
    (Kind.INT, _INT),
    (Kind.FLOAT, _FLOAT),
    (Kind.DATE, _DATE),
    (Kind.TIME, _TIME),
    (Kind.ZONED, _ZONED),
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)
_KINDS_BY_GROUP: dict[str | None, Kind] = {str(kind): kind for kind, _pattern in _PATTERNS}
_TYPED = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS))
#: What a person who asks for a type also means by it: leading zeros, and a plus before a float.
_LOOSE_PATTERNS = {Kind.INT: r"^-?[0-9]+$", Kind.FLOAT: r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|" + _INFINITE}


def join(*kinds: Kind) -> Kind:
    """The narrowest kind that holds all of these."""
    return reduce(_join, kinds, Kind.NULL)


def type_of(kind: Kind) -> pa.DataType:
    """The type that a column of this kind is staged as."""
    return _TYPES[kind]


def kind_of_type(type_: pa.DataType) -> Kind | None:
    """The kind that is staged as this type; None when there is none."""
    return _KINDS.get(type_)


def kind_of(texts: pa.Array) -> Kind:
    """The kind of a column of strings. Nulls count for nothing."""
    if texts.null_count == len(texts):
        return Kind.NULL
    if likely_kind(texts[pc.index(pc.is_valid(texts), True).as_py()].as_py()) is Kind.TEXT:
        return Kind.TEXT  # most columns of text end here
    if len(texts) <= _FEW_TEXTS:
        return _kind_of_few(texts)
    values = pc.unique(trimmed(texts)).drop_null()
    if not len(values):
        return Kind.NULL
    first = values[0].as_py()
    for (kind, compiled), (_kind, pattern) in zip(_COMPILED, _PATTERNS, strict=True):
        if compiled.fullmatch(first) and _all_match(values, pattern):
            return _proved(values, kind)
    return Kind.TEXT


def likely_kind(text: str) -> Kind:
    """The kind that one text looks like, cheaply; `kind_of` may still find that it cannot be held."""
    bare = text.strip(_BLANKS)
    return Kind.NULL if bare in NULL_SPELLINGS else _kind_by_pattern(bare)


def trimmed(texts: pa.Array) -> pa.Array:
    """The texts without blanks around them, and null where they spell null."""
    bare = pc.ascii_trim(texts, characters=_BLANKS)
    spelled = pc.is_in(bare, value_set=pa.array(NULL_SPELLINGS))
    return pc.if_else(spelled, pa.scalar(None, pa.string()), bare)


def convert(texts: pa.Array, kind: Kind) -> pa.Array:
    """The texts as a column of `kind`, which must hold them all.

    Raises:
        pa.ArrowInvalid: a text is of no such kind; but not each such text is found.
    """
    if kind in (Kind.TEXT, Kind.NULL):
        return texts
    values = trimmed(texts)
    if kind is not Kind.BOOL:
        return pc.cast(values, type_of(kind))
    truths = pc.is_in(values, value_set=pa.array(TRUE_TEXTS))
    known = pc.is_in(values, value_set=pa.array(TRUE_TEXTS + FALSE_TEXTS))
    if pc.all(pc.or_(known, pc.is_null(values))).as_py() is False:
        raise pa.ArrowInvalid("not a truth value")
    return pc.if_else(pc.is_valid(values), truths, pa.scalar(None, pa.bool_()))


def is_utf8(text: bytes | memoryview) -> bool:
    """Whether bytes are valid UTF-8; many times faster than decoding them."""
    ends = pa.py_buffer(np.array([0, len(text)], np.int32))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def largest(numbers: pa.Array) -> float:
    """The largest magnitude; infinite when a value is no number, so that it is looked at."""
    if not len(numbers) or numbers.null_count == len(numbers):
        return 0
    bounds = pc.min_max(numbers).as_py()
    if pa.types.is_floating(numbers.type) and pc.any(pc.is_nan(numbers)).as_py():
        return float("inf")
    return float(max(-bounds["min"], bounds["max"]))


def unfit(texts: pa.Array, kind: Kind) -> pa.Array:
    """Which texts are not of a kind that a person asked for; leading zeros are allowed then."""
    values = trimmed(texts)
    fitting = _convertible(values, kind)
    if kind in _LOOSE_PATTERNS:
        fitting = pc.and_(fitting, pc.match_substring_regex(values, _LOOSE_PATTERNS[kind]).fill_null(fill_value=True))
    return pc.invert(fitting)


def _convertible(values: pa.Array, kind: Kind) -> pa.Array:
    """Which values convert, found by halving: conversion tells of one misfit at a time."""
    try:
        convert(values, kind)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.array([False])
        middle = len(values) // 2
        return pa.concat_arrays([_convertible(values[:middle], kind), _convertible(values[middle:], kind)])
    return pa.array(np.ones(len(values), np.bool_))


def _join(one: Kind, other: Kind) -> Kind:
    if one is other or other is Kind.NULL:
        return one
    if one is Kind.NULL:
        return other
    return _WIDER.get(frozenset({one, other}), Kind.TEXT)


def _kind_by_pattern(bare: str) -> Kind:
    match = _TYPED.fullmatch(bare)
    return _KINDS_BY_GROUP[match.lastgroup] if match else Kind.TEXT


def _kind_of_few(texts: pa.Array) -> Kind:
    """The same, one by one: so few are gone through before a vector has begun."""
    bare = {text.strip(_BLANKS) for text in texts.to_pylist() if text is not None}.difference(NULL_SPELLINGS)
    kind = join(*{_kind_by_pattern(text) for text in bare})
    return kind if kind in (Kind.NULL, Kind.TEXT) else _proved(pa.array(list(bare), pa.string()), kind)


def _proved(values: pa.Array, kind: Kind) -> Kind:
    """`kind` if every value can be held exactly; the pattern alone does not know the 30th of February."""
    try:
        typed = pc.cast(values, type_of(kind)) if kind is not Kind.BOOL else values
    except pa.ArrowInvalid:
        return Kind.TEXT
    if kind is Kind.INT:
        bounds = pc.min_max(typed).as_py()
        return Kind.BIG if max(-bounds["min"], bounds["max"]) >= EXACT_FLOAT_LIMIT else Kind.INT
    if kind is Kind.FLOAT:
        large = values.filter(pc.greater_equal(pc.abs(typed), float(EXACT_FLOAT_LIMIT)))
        return Kind.FLOAT if all(_holds_large(text) for text in large.to_pylist()) else Kind.TEXT
    return kind


def _holds_large(text: str) -> bool:
    """Whether float64 may stand for a text of at least 2^53: not for plain digits, nor when it overflows to infinity."""
    return bool(re.match(_INFINITE, text) or (re.search("[eE]", text) and math.isfinite(float(text))))


def _all_match(values: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())

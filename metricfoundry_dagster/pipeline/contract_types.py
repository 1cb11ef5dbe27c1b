"""The types that a contract may ask for, and the kinds of value that can be compared with each other.

They are those that Parquet keeps as they are: it has no time stamp and no time of day in whole seconds.
How a value of one type becomes one of another is `validation/exact_casts.py`.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metricfoundry_dagster.domain.contracts import ColumnRule

TYPE_ALIASES: Mapping[str, str] = {
    "boolean": "bool",
    "integer": "int64",
    "float32": "float",
    "float64": "double",
    "text": "string",
    "date": "date32[day]",
    "date32": "date32[day]",
    "timestamp": "timestamp[us]",
    "time": "time64[us]",
}
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_KIND_OF_TYPE = {
    "bool": "bool",
    **dict.fromkeys(_INTEGERS | {"float", "double"}, "number"),
    "string": "text",
    "date32[day]": "date",
    **dict.fromkeys(("time32[ms]", "time64[us]", "time64[ns]"), "time"),
}
_TIMESTAMP = re.compile(r"timestamp\[(ms|us|ns)(?:, tz=(.+))?\]")
_DECIMAL = re.compile(r"decimal128\((\d{1,2}), (\d{1,2})\)")
#: The entries of a rule that hold one value.
VALUE_FIELDS = ("minimum", "maximum", "above", "below")


def kind_of_type(type_name: str) -> str | None:
    """The kind of value in a column: bool, number, text, date, timestamp or time; None for a type not known here."""
    if _TIMESTAMP.fullmatch(type_name):
        return "timestamp"
    if _DECIMAL.fullmatch(type_name):
        return "number"
    return _KIND_OF_TYPE.get(type_name)


def kind_of_value(value: object) -> str:
    """The kind of a value in a contract, as `kind_of_type` names kinds."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, datetime):
        return "timestamp"
    return "date" if isinstance(value, date) else "text"


def kind_of_rule(rule: ColumnRule) -> str | None:
    """The kind of value that a rule speaks of: its type's, else that of its pattern, bounds or set; None if of none."""
    if rule.type is not None:
        return kind_of_type(rule.type)
    if rule.pattern is not None:
        return "text"
    values = [getattr(rule, name) for name in VALUE_FIELDS] + list(rule.allowed or ())
    kinds = {kind_of_value(value) for value in values if value is not None}
    return "timestamp" if "timestamp" in kinds else next(iter(sorted(kinds)), None)


def is_known_type(type_name: str) -> bool:
    """Whether a contract may ask for the type: its name is exactly as PyArrow prints it and its parameters hold."""
    if kind_of_type(type_name) is None:
        return False
    if decimal := _DECIMAL.fullmatch(type_name):
        precision, scale = int(decimal[1]), int(decimal[2])
        return 1 <= precision <= 38 and scale <= precision and type_name == f"decimal128({precision}, {scale})"
    stamp = _TIMESTAMP.fullmatch(type_name)
    if stamp and stamp[2]:
        try:
            ZoneInfo(stamp[2])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return False
    return True

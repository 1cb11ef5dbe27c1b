"""JSON as text: what nested values become in a column of strings. Flattening them into tables will begin here."""

import base64
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


class RawNumber(str):
    """A JSON number as it was written, so that no digit of it is lost."""

    __slots__ = ()


def json_text(value: Any) -> str:
    """A value as compact JSON, keys in their order, non-ASCII characters as they are."""
    if isinstance(value, RawNumber):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(str(key))}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return _quoted(str(value))  # JSON has no such number
    return json.dumps(value, ensure_ascii=False, default=_as_text)


def _as_text(value: object) -> str:
    """Values that JSON does not have, such as Parquet holds them."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


#: A text in quotes, as `json.dumps` gives it, but without an encoder made for each.
_quoted = json.encoder.encode_basestring
_CONSTANTS = {None: "null", True: "true", False: "false"}

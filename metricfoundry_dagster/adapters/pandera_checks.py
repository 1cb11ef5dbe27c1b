"""What the built-in checks of Pandera ask of a value, as entries of a rule. What a whole model asks is `pandera_models`."""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, get_args

from pandera.api.checks import Check

from metricfoundry_dagster.domain.contracts import Scalar


def translate_check(name: str, check: Check, asked: dict[str, Any], problems: list[str]) -> None:
    """Put what a check asks into `asked`; several of a kind are joined, so that all of them hold."""
    add = _TRANSLATIONS.get(check.name or "")
    said = f"{name}: check {check.error or check.name}"
    # A check of one's own may have the name of a built-in one; only the built-in ones know their parameters by name.
    if add is None or not check.statistics or not check.ignore_na or check.raise_warning or check.element_wise or check.groupby:
        problems.append(said)
        return
    try:
        add(asked, **{key: _scalar(value) for key, value in check.statistics.items()})
    except (TypeError, ValueError) as error:
        problems.append(f"{said} ({error})")


def _scalar(value: Any) -> Any:
    """A parameter of a check as a contract writes it. Raises ValueError when it cannot."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_scalar(entry) for entry in value]
    if isinstance(value, re.Pattern):
        if value.flags & ~re.UNICODE:
            raise ValueError("its pattern has flags")
        return value.pattern
    if isinstance(value, Decimal) and Decimal(repr(float(value))) == value:
        return int(value) if value == int(value) else float(value)
    if isinstance(value, get_args(Scalar)) and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    raise ValueError(f"a contract cannot hold the value {value!r}")


def _raise_lower(asked: dict[str, Any], entry: str, bound: Any) -> None:
    asked[entry] = bound if entry not in asked else max(asked[entry], bound)


def _drop_upper(asked: dict[str, Any], entry: str, bound: Any) -> None:
    asked[entry] = bound if entry not in asked else min(asked[entry], bound)


def _at_least(asked: dict[str, Any], min_value: Any) -> None:
    _raise_lower(asked, "minimum", min_value)


def _more_than(asked: dict[str, Any], min_value: Any) -> None:
    _raise_lower(asked, "above", min_value)


def _at_most(asked: dict[str, Any], max_value: Any) -> None:
    _drop_upper(asked, "maximum", max_value)


def _less_than(asked: dict[str, Any], max_value: Any) -> None:
    _drop_upper(asked, "below", max_value)


def _in_range(asked: dict[str, Any], min_value: Any, max_value: Any, *, include_min: bool, include_max: bool) -> None:
    _raise_lower(asked, "minimum" if include_min else "above", min_value)
    _drop_upper(asked, "maximum" if include_max else "below", max_value)


def _is_in(asked: dict[str, Any], allowed_values: list[Any]) -> None:
    if not isinstance(allowed_values, list):
        raise TypeError("its values are no list")
    before = asked.get("allowed")
    asked["allowed"] = tuple(v for v in allowed_values if before is None or v in before)


def _equals(asked: dict[str, Any], value: Any) -> None:
    _is_in(asked, [value])


def _matches(asked: dict[str, Any], pattern: str) -> None:
    """Pandera asks that a text begins with a match, a contract that the whole of it matches."""
    if "pattern" in asked:
        raise ValueError("a column has one pattern only")
    body = pattern.removeprefix("^")
    if "|" in pattern or "(?" in pattern:
        asked["pattern"] = rf"(?s:.*?)(?:^{body})(?s:.*)"
    elif body.endswith("$") and not body.endswith("\\$"):
        asked["pattern"] = body[:-1]
    else:
        asked["pattern"] = rf"{body}(?s:.*)"


_TRANSLATIONS: Mapping[str, Callable[..., None]] = {
    "equal_to": _equals,
    "greater_than": _more_than,
    "greater_than_or_equal_to": _at_least,
    "less_than": _less_than,
    "less_than_or_equal_to": _at_most,
    "in_range": _in_range,
    "isin": _is_in,
    "str_matches": _matches,
}

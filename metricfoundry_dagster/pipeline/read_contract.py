"""A contract as YAML: reading it with every problem named at once, and writing it back.

What the rules mean for rows is `validation/`; where the text comes from is `find_contract`. The format is
described in `docs/guide/contracts.md`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any, cast, get_args

import yaml

from metricfoundry_dagster.domain.contracts import ColumnRule, Contract, Scalar
from metricfoundry_dagster.domain.datasets import SLUG
from metricfoundry_dagster.pipeline.contract_types import TYPE_ALIASES, VALUE_FIELDS, is_known_type, kind_of_rule, kind_of_value
from metricfoundry_dagster.pipeline.contract_yaml import Problems, parse_yaml

_MAX_PATTERN_CHARS = 10_000
_DEFAULTS = {kind: {f.name: f.default for f in fields(kind)} for kind in (Contract, ColumnRule)}
#: What a value may be written as, for a column of a kind.
_FITTING_VALUES = {"timestamp": {"timestamp", "date"}}


@lru_cache(maxsize=64)
def read_contract(text: str) -> Contract:
    """Read the YAML text of a contract.

    Raises:
        UserError: `contract.invalid`, listing every problem with its line and path; the place is the first one's.
    """
    root, lines = parse_yaml(text)
    problems = Problems(lines)
    contract = _contract(root, problems)
    problems.raise_all()
    return contract


def contract_to_yaml(contract: Contract) -> str:
    """The YAML text of a contract, without what is at its default; `read_contract` gives an equal contract back."""
    document = _without_defaults(contract)
    document.pop("columns", None)
    if contract.columns:
        document["columns"] = [_without_defaults(rule) for rule in contract.columns]
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes a value again wherever it occurs, for anchors are not read back, and escapes what does not show."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_str)


def _without_defaults(value: Contract | ColumnRule) -> dict[str, Any]:
    given = {f.name: getattr(value, f.name) for f in fields(value) if f.name != "source"}
    return {name: entry for name, entry in given.items() if entry != _DEFAULTS[type(value)].get(name)}


_Check = Callable[[object, str, Problems], Any]


def _contract(root: object, problems: Problems) -> Contract:
    values = _mapping(root, "", _CONTRACT_CHECKS, problems)
    if "name" not in values:
        problems.add("name", "is missing")
    columns: tuple[ColumnRule, ...] = values.get("columns", ())
    seen: set[str] = set()
    for position, rule in enumerate(columns):
        if rule.name in seen:
            problems.add(f"columns[{position}].name", f"{rule.name!r} has a rule already")
        seen.add(rule.name)
    return Contract(**{"name": "", **values})


def _mapping(value: object, path: str, checks: Mapping[str, _Check], problems: Problems) -> dict[str, Any]:
    """The entries that could be read; what is null counts as not given."""
    if not isinstance(value, dict):
        problems.add(path, f"must be a mapping with {', '.join(checks)}, not {_shown(value)}")
        return {}
    read: dict[str, Any] = {}
    for key, entry in value.items():
        below = f"{path}.{key}" if path else str(key)
        if key not in checks:
            problems.add(below, f"there is no such entry; there is {', '.join(checks)}")
        elif entry is not None:
            found = checks[key](entry, below, problems)
            if found is not None:
                read[key] = found
    return read


def _text(value: object, path: str, problems: Problems) -> str | None:
    if isinstance(value, str) and value:
        return value
    problems.add(path, f"must be text, not {_shown(value)}")
    return None


def _name(value: object, path: str, problems: Problems) -> str | None:
    if isinstance(value, str) and SLUG.fullmatch(value):
        return value
    problems.add(path, f"must be lower-case letters, digits and underscores, not {_shown(value)}")
    return None


def _flag(value: object, path: str, problems: Problems) -> bool | None:
    if isinstance(value, bool):
        return value
    problems.add(path, f"must be true or false, not {_shown(value)}")
    return None


def _count_from(lowest: int) -> _Check:
    def check(value: object, path: str, problems: Problems) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and value >= lowest:
            return value
        problems.add(path, f"must be a whole number of at least {lowest}, not {_shown(value)}")
        return None

    return check


def _share(value: object, path: str, problems: Problems) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    problems.add(path, f"must be a share from 0 to 1, not {_shown(value)}")
    return None


def _on_bad_rows(value: object, path: str, problems: Problems) -> str | None:
    if value in ("quarantine", "fail"):
        return str(value)
    problems.add(path, f"must be quarantine or fail, not {_shown(value)}")
    return None


def _list_of(check: _Check, *, least: int) -> _Check:
    def check_all(value: object, path: str, problems: Problems) -> tuple[Any, ...] | None:
        if not isinstance(value, list) or len(value) < least:
            problems.add(path, f"must be a list of at least {least}, not {_shown(value)}")
            return None
        return tuple(found for i, item in enumerate(value) if (found := check(item, f"{path}[{i}]", problems)) is not None)

    return check_all


def _scalar(value: object, path: str, problems: Problems) -> Scalar | None:
    if isinstance(value, get_args(Scalar)) and not (isinstance(value, float) and not math.isfinite(value)):
        return cast(Scalar, value)
    problems.add(path, f"must be a finite number, text, true, false, a date or a time stamp, not {_shown(value)}")
    return None


def _type(value: object, path: str, problems: Problems) -> str | None:
    name = TYPE_ALIASES.get(value, value) if isinstance(value, str) else None
    if name is not None and is_known_type(name):
        return name
    problems.add(
        path, f"{_shown(value)} is no type; there is bool, int64, double, string, date, timestamp[us], decimal128(10, 2), …"
    )
    return None


def _pattern(value: object, path: str, problems: Problems) -> str | None:
    if not isinstance(value, str) or not value or len(value) > _MAX_PATTERN_CHARS:
        problems.add(path, f"must be a regular expression of at most {_MAX_PATTERN_CHARS:,} characters, not {_shown(value)}")
        return None
    import polars as pl  # a warm parent process must not have used Polars before it forks

    try:
        for pattern in (value, f"^(?:{value})$"):
            pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        problems.add(path, f"is no regular expression: {' '.join(str(error).split())[:200]}")
        return None
    return value


def _column(value: object, path: str, problems: Problems) -> ColumnRule | None:
    values = _mapping(value, path, _COLUMN_CHECKS, problems)
    if "name" not in values:
        if isinstance(value, dict) and value.get("name") is None:
            problems.add(path, "the column has no name")
        return None
    rule = ColumnRule(**values)
    _check_kinds(rule, path, problems)
    return rule


def _check_kinds(rule: ColumnRule, path: str, problems: Problems) -> None:
    """All values of a rule must be of one kind, the type's if it is given, and leave room for a value."""
    kind = kind_of_rule(rule)
    if kind is None:
        return
    given = [(name, getattr(rule, name)) for name in VALUE_FIELDS if getattr(rule, name) is not None]
    for name, bound in given:
        if kind in {"bool", "time"}:
            problems.add(f"{path}.{name}", f"a column of kind {kind} has no bounds")
        given_kind = kind_of_value(bound)
        if given_kind not in _FITTING_VALUES.get(kind, {kind}):
            problems.add(f"{path}.{name}", f"{_shown(bound)} is {given_kind}, but the column holds {kind}")
    for position, entry in enumerate(rule.allowed or ()):
        if kind_of_value(entry) not in _FITTING_VALUES.get(kind, {kind}):
            message = f"{_shown(entry)} is {kind_of_value(entry)}, but the column holds {kind}"
            problems.add(f"{path}.allowed[{position}]", message)
    if rule.pattern is not None and kind != "text":
        problems.add(f"{path}.pattern", f"needs a column of text, but the column holds {kind}")
    _check_order(rule, path, problems)


def _check_order(rule: ColumnRule, path: str, problems: Problems) -> None:
    for lower in ("minimum", "above"):
        for upper in ("maximum", "below"):
            low, high = getattr(rule, lower), getattr(rule, upper)
            if low is None or high is None or kind_of_value(low) != kind_of_value(high):
                continue
            if _naive_utc(low) > _naive_utc(high):
                problems.add(f"{path}.{lower}", f"{_shown(low)} is more than the {upper} {_shown(high)}")


def _naive_utc(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.replace(tzinfo=None) - (value.utcoffset() or value.resolution * 0)
    return value


def _shown(value: object) -> str:
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


_COLUMN_CHECKS: dict[str, _Check] = {
    "name": _text,
    "type": _type,
    "nullable": _flag,
    "required": _flag,
    "unique": _flag,
    **dict.fromkeys(VALUE_FIELDS, _scalar),
    "allowed": _list_of(_scalar, least=1),
    "pattern": _pattern,
    "max_null_share": _share,
}
_CONTRACT_CHECKS: dict[str, _Check] = {
    "name": _name,
    "version": _count_from(1),
    "description": _text,
    "time_column": _text,
    "columns": _list_of(_column, least=0),
    "unique": _list_of(_list_of(_text, least=1), least=0),
    "on_bad_rows": _on_bad_rows,
    "max_reject_share": _share,
    "max_quarantine_share": _share,
    "max_duplicate_share": _share,
    "min_rows": _count_from(0),
}

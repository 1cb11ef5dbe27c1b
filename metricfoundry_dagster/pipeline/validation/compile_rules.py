"""Binds a contract to the schema of a staged table: which column each rule means, its cast, and what can be broken.

What one rule asks of a value is `column_checks`. Nothing is read or judged here.
"""

from typing import TYPE_CHECKING

import pyarrow as pa

from metricfoundry_dagster.domain.contracts import ColumnRule, Contract
from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.contract_types import kind_of_rule, kind_of_type
from metricfoundry_dagster.pipeline.validation.arrow_frames import plain_type, to_frame
from metricfoundry_dagster.pipeline.validation.column_checks import column_checks
from metricfoundry_dagster.pipeline.validation.compiled_contract import Check, CompiledContract, JudgedColumn, Key
from metricfoundry_dagster.pipeline.validation.exact_casts import exact_cast, polars_type

if TYPE_CHECKING:
    import polars as pl

_IMPLIED_TYPES = {"number": "double", "text": "string", "date": "date32[day]", "timestamp": "timestamp[us]", "bool": "bool"}
#: Kinds of value that can be compared though they differ: of the column, of the rule.
_COMPARABLE = {("timestamp", "date")}


def compile_contract(contract: Contract, columns: tuple[Column, ...], schema: pa.Schema) -> CompiledContract:
    """Bind a contract to a staged table.

    A rule means the column of its name, else the one so called in the source. A rule without a type whose bounds
    cannot be compared with the staged type implies the type of its bounds.
    """
    names = find_columns(contract, columns)
    rules = {names[rule.name]: rule for rule in contract.columns if rule.name in names}
    groups = [*((rule.name,) for rule in contract.columns if rule.unique), *contract.unique]
    bound_groups = [[names[name] for name in group] for group in groups if all(name in names for name in group)]
    keys = dict.fromkeys(tuple(dict.fromkeys(group)) for group in bound_groups)
    judged = _judged_columns(dict.fromkeys([*rules, *(name for key in keys for name in key)]), rules, schema)
    compiled_keys = tuple(Key(tuple(judged[name] for name in key), f"repeated_{i}") for i, key in enumerate(keys))
    checks = [check for name, rule in rules.items() for check in column_checks(rule, judged[name])]
    checks += [_unique_check(key) for key in compiled_keys]
    return CompiledContract(tuple(judged.values()), tuple(checks), compiled_keys, missing_columns(contract, columns))


def missing_columns(contract: Contract, columns: tuple[Column, ...]) -> tuple[str, ...]:
    """The names of columns that the contract requires, or needs for a key, and that the table does not have."""
    names = find_columns(contract, columns)
    wanted = [rule.name for rule in contract.columns if rule.required]
    wanted += [name for group in contract.unique for name in group]
    return tuple(dict.fromkeys(name for name in wanted if name not in names))


def find_columns(contract: Contract, columns: tuple[Column, ...]) -> dict[str, str]:
    """The staged column that each name in the contract means, without those that mean none. No two mean the same."""
    named = [rule.name for rule in contract.columns] + [name for group in contract.unique for name in group]
    if contract.time_column is not None:
        named.append(contract.time_column)
    staged = {column.name for column in columns}
    found = {name: name for name in named if name in staged}
    by_source = {column.source_name: column.name for column in columns if column.name not in found}
    return found | {name: by_source[name] for name in named if name not in found and name in by_source}


def _judged_columns(names: dict[str, None], rules: dict[str, ColumnRule], schema: pa.Schema) -> dict[str, JudgedColumn]:
    types = [schema.field(name).type for name in names]
    empty = pa.RecordBatch.from_arrays([pa.array([], type_) for type_ in types], names=[f"raw_{i}" for i in range(len(types))])
    return {
        name: _judged_column(name, rules.get(name, ColumnRule(name)), type_, raw)
        for name, type_, raw in zip(names, types, to_frame(empty), strict=True)
    }


def _judged_column(name: str, rule: ColumnRule, staged: pa.DataType, raw: "pl.Series") -> JudgedColumn:
    import polars as pl  # a warm parent process must not have used Polars before it forks

    staged_name = str(plain_type(staged))
    target = _target(rule, staged_name)
    if target == staged_name:
        return JudgedColumn(name, target, raw.dtype, raw.name, raw.name, None)
    cast = exact_cast(pl.col(raw.name), raw.dtype, target)
    return JudgedColumn(name, target, polars_type(target), raw.name, raw.name.replace("raw", "value"), cast)


def _target(rule: ColumnRule, staged: str) -> str:
    kind = kind_of_rule(rule)
    if rule.type is not None or kind is None:
        return rule.type or staged
    staged_kind = kind_of_type(staged)
    return staged if kind == staged_kind or (staged_kind, kind) in _COMPARABLE else _IMPLIED_TYPES[kind]


def _unique_check(key: Key) -> Check:
    import polars as pl

    return Check(key.columns, "unique", "contract.duplicate", "occurs in a row before", pl.col(key.flag))

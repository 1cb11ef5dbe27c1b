"""A Pandera model of Polars frames becomes a contract: everything that it asks is translated, or named as what cannot be.

Importing this module imports Pandera. Where contracts are found is `contract_files`.
"""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pandera.polars as pa_model
import polars as pl
import yaml
from pandera.errors import SchemaInitError

from metricfoundry_dagster.adapters.pandera_checks import translate_check
from metricfoundry_dagster.domain.contracts import ColumnRule, Contract
from metricfoundry_dagster.domain.datasets import slug_of
from metricfoundry_dagster.domain.errors import NotFoundError, UserError
from metricfoundry_dagster.pipeline.contract_types import is_known_type
from metricfoundry_dagster.pipeline.read_contract import contract_to_yaml, read_contract

#: The key of `metadata` under which a model or a field says what only a contract knows.
METADATA_KEY = "metricfoundry"
_SETTINGS = {f.name for f in fields(Contract)} - {"name", "columns", "unique", "source"}
_COLUMN_SETTINGS = {"max_null_share"}
#: What a schema can ask beyond its columns' own rules, with the value that asks nothing.
_SCHEMA_EXTRAS: Mapping[str, object] = {
    "checks": [],
    "parsers": [],
    "dtype": None,
    "strict": False,
    "ordered": False,
    "add_missing_columns": False,
    "on_missing_columns": None,
}
_COLUMN_EXTRAS: Mapping[str, object] = {"parsers": [], "regex": False, "default": None}


def contract_of_model(reference: str) -> Contract:
    """The contract that asks the same of a row as the model `package.module:Model`, a DataFrameModel or DataFrameSchema.

    Raises:
        NotFoundError: `contract.not_found` when there is no such module or model.
        UserError: `contract.invalid`, listing everything that a contract cannot say.
    """
    schema, settings = _load(reference)
    problems: list[str] = []
    contract = _contract(schema, settings, reference.partition(":")[2], problems)
    if problems:
        message = f"{reference} asks for what a contract cannot say: {'; '.join(problems)}"
        raise UserError("contract.invalid", message, hint="Leave it out of the model, or write the contract as YAML.")
    return read_contract(_to_yaml(contract, reference))


def _load(reference: str) -> tuple[pa_model.DataFrameSchema, Mapping[str, Any]]:
    """The schema, and what its metadata says to us."""
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotFoundError("contract.not_found", f"the module {module_name} cannot be imported: {error}") from error
    except Exception as error:  # the code of somebody else's module may raise anything
        message = f"importing {module_name} failed: {type(error).__name__}: {error}"
        raise UserError("contract.invalid", message) from error
    model = getattr(module, name, None)
    if isinstance(model, pa_model.DataFrameSchema):
        return model, _settings_in(model.metadata)
    if not (isinstance(model, type) and issubclass(model, pa_model.DataFrameModel)):
        raise NotFoundError("contract.not_found", f"{reference} is no DataFrameModel or DataFrameSchema of pandera.polars")
    try:
        # A schema does not inherit the metadata of its model.
        return model.to_schema(), _settings_in(getattr(model.Config, "metadata", None))
    except SchemaInitError as error:
        raise UserError("contract.invalid", f"{reference} is no valid Pandera model: {error}") from error


def _settings_in(metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return dict((metadata or {}).get(METADATA_KEY) or {})


def _contract(schema: pa_model.DataFrameSchema, settings: Mapping[str, Any], name: str, problems: list[str]) -> Contract:
    problems += [
        f"{extra}={getattr(schema, extra)!r}" for extra, none in _SCHEMA_EXTRAS.items() if getattr(schema, extra) != none
    ]
    problems += [f"metadata {METADATA_KEY}.{key}" for key in settings if key not in _SETTINGS]
    unique = [schema.unique] if isinstance(schema.unique, str) else list(schema.unique or [])
    known = {key: value for key, value in settings.items() if key in _SETTINGS}
    return Contract(
        **{
            "name": slug_of(schema.name or name),
            "description": inspect.cleandoc(schema.description or ""),
            "columns": tuple(_rule(column_name, column, problems) for column_name, column in schema.columns.items()),
            "unique": (tuple(unique),) if unique else (),
            **known,
        }
    )


def _rule(name: str, column: Any, problems: list[str]) -> ColumnRule:
    problems += [
        f"{name}: {extra}={getattr(column, extra)!r}" for extra, none in _COLUMN_EXTRAS.items() if getattr(column, extra) != none
    ]
    settings = _settings_in(column.metadata)
    problems += [f"{name}: metadata {METADATA_KEY}.{key}" for key in settings if key not in _COLUMN_SETTINGS]
    asked: dict[str, Any] = {}
    for check in column.checks:
        translate_check(name, check, asked, problems)
    return ColumnRule(
        name=name,
        type=_type_name(name, column.dtype.type, problems) if column.dtype is not None else None,
        nullable=column.nullable,
        required=column.required,
        unique=column.unique,
        max_null_share=settings.get("max_null_share"),
        **asked,
    )


def _type_name(name: str, dtype: Any, problems: list[str]) -> str | None:
    try:
        printed = str(pl.Series([], dtype=dtype).to_arrow().type).replace("large_string", "string")
    except (pl.exceptions.PolarsError, TypeError, ValueError):
        printed = ""
    if is_known_type(printed):
        return printed
    problems.append(f"{name}: type {dtype}")
    return None


def _to_yaml(contract: Contract, reference: str) -> str:
    try:
        return contract_to_yaml(contract)
    except yaml.YAMLError as error:
        raise UserError("contract.invalid", f"the metadata of {reference} is no plain data: {error}") from error

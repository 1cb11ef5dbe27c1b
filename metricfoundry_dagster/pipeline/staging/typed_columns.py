"""What is known of the columns of a table while it is read, and the signal that it was too narrow."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.staging.text_kinds import Kind, join, kind_of_type, type_of


@dataclass(slots=True)
class TypedColumn:
    """One column. `kind` only ever widens.

    `by_hand` says that its texts are converted by our own rules because the parser's do not suffice: nulls are
    spelled out in it, or a person asked for its type (`fixed`).
    """

    name: str
    source_name: str | None
    kind: Kind = Kind.NULL
    by_hand: bool = False
    fixed: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the texts are staged as they are."""
        return self.kind in (Kind.TEXT, Kind.NULL)

    def widen(self, kind: Kind) -> None:
        """Let the column hold values of `kind` too."""
        self.kind = join(self.kind, kind)

    def product(self) -> Column:
        """The column as others see it."""
        return Column(self.name, self.source_name, str(type_of(self.kind)), nullable=True)


class TooNarrowError(Exception):
    """Values do not fit the kinds of their columns; those have been widened, and what was written is to be dropped.

    `rows_lost` is how much that is.
    """

    rows_lost = 0


def schema_of(columns: list[TypedColumn]) -> pa.Schema:
    """The schema as which the columns are staged."""
    return pa.schema([(column.name, type_of(column.kind)) for column in columns])


def fix_types(columns: list[TypedColumn], types: Mapping[str, str]) -> None:
    """Give columns the types that a person asked for by their names.

    Raises:
        UserError: `request.invalid` for an unknown type.
    """
    for column in columns:
        if column.name in types:
            column.kind, column.fixed = _kind_named(types[column.name]), True
            column.by_hand = column.kind is not Kind.TEXT


def require_columns(columns: list[TypedColumn], types: Mapping[str, str]) -> None:
    """Raise UserError `request.invalid` when types are asked for columns that there are not."""
    require_known([column.name for column in columns], types)


def named_kinds(types: Mapping[str, str]) -> dict[str, Kind]:
    """The kinds that a person asked for, by safe column names. Raises as `fix_types`."""
    return {name: _kind_named(type_name) for name, type_name in types.items()}


def require_known(names: Collection[str], types: Collection[str]) -> None:
    """Raise UserError `request.invalid` when types are asked for other columns than these."""
    unknown = sorted(set(types) - set(names))
    if unknown:
        message = f"types are asked for {', '.join(unknown)}, but the columns are {', '.join(names)}"
        raise UserError("request.invalid", message)


def _kind_named(type_name: str) -> Kind:
    kind = _KINDS_BY_NAME.get(type_name)
    if kind is None:
        raise UserError("request.invalid", f"there is no type {type_name!r}; there are {', '.join(_KINDS_BY_NAME)}")
    return kind


#: As PyArrow prints them, and as it takes them.
_KINDS_BY_NAME = {
    **{str(type_of(kind)): kind for kind in Kind if kind_of_type(type_of(kind)) is kind},
    "float64": Kind.FLOAT,
    "date32": Kind.DATE,
}

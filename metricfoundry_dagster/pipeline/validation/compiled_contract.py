"""What a contract becomes when it is bound to the table that it judges. Values only; `compile_rules` makes them.

In expressions staged columns are called `raw_0`, `raw_1`, … and their cast values `value_0`, …, so that no name
of a table can collide. Expressions have no equality, so these values are told apart by identity.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, eq=False)
class JudgedColumn:
    """One staged column that a rule speaks of.

    `type` is the Arrow type with which it leaves, as it prints itself; `dtype` the Polars type that holds it.
    `cast` makes `value` from `raw` and is None, the two names being the same, when the column has its type already.
    """

    name: str
    type: str
    dtype: "pl.DataType"
    raw: str
    value: str
    cast: "pl.Expr | None"


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One thing that a row can break. `rule` is the second half of its finding's code.

    `fails` is true or false in every row; `complaint` ends a sentence that begins with column and value.
    """

    columns: tuple[JudgedColumn, ...]
    rule: str
    code: str
    complaint: str
    fails: "pl.Expr"

    @property
    def column_name(self) -> str:
        """The staged name; several are joined by a plus."""
        return "+".join(column.name for column in self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """Columns whose values together may occur once only. `flag` is the column that marks a row as a repetition."""

    columns: tuple[JudgedColumn, ...]
    flag: str


@dataclass(frozen=True, slots=True, eq=False)
class CompiledContract:
    """What to read, cast and ask of the rows of one table. `missing` are required columns that are not there."""

    columns: tuple[JudgedColumn, ...] = ()
    checks: tuple[Check, ...] = ()
    keys: tuple[Key, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def cast_columns(self) -> tuple[JudgedColumn, ...]:
        """The columns that leave with another type."""
        return tuple(column for column in self.columns if column.cast is not None)

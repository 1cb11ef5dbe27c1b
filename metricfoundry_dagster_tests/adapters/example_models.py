"""Pandera models for the tests of contract files; they are found by name, as a user's are."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import pandera.polars as pa_model
import polars as pl


class Everything(pa_model.DataFrameModel):
    """All that a contract can say."""

    a: int = pa_model.Field(gt=0, lt=10, isin=[1, 2, 3], unique=True, metadata={"metricfoundry": {"max_null_share": 0.5}})
    b: float | None = pa_model.Field(nullable=True, in_range={"min_value": 0, "max_value": 1, "include_max": False})
    c: str = pa_model.Field(str_matches=r"^[A-Z]+$", alias="C c")
    d: pl.Datetime = pa_model.Field(ge=datetime.fromisoformat("2020-01-01"))
    e: bool = pa_model.Field(eq=True)
    f: pl.Date
    g: int

    class Config:
        """Its settings."""

        unique: ClassVar = ["a", "C c"]
        metadata: ClassVar = {"metricfoundry": {"version": 3, "min_rows": 2, "on_bad_rows": "fail"}}


class BeyondAContract(pa_model.DataFrameModel):
    """What a contract cannot say."""

    a: int = pa_model.Field(ne=3, notin=[4])
    b: str = pa_model.Field(str_contains="x", isin=["y"], ignore_na=False)
    c: int = pa_model.Field(ge=0, raise_warning=True)
    d: float = pa_model.Field(le=float("inf"))
    e: pl.List(pl.Int64)  # type: ignore[valid-type]  # a type with parameters is a value

    @pa_model.check("a")
    def is_odd(cls, data: Any) -> Any:  # noqa: N805  # Pandera calls it with the class
        """A check of one's own."""
        return data.lazyframe.select(pl.col(data.key) % 2 == 1)

    class Config:
        """Its settings."""

        strict = True
        metadata: ClassVar = {"metricfoundry": {"color": "red"}}


schema = pa_model.DataFrameSchema(
    {
        "n": pa_model.Column(pl.Int64, [pa_model.Check.ge(0), pa_model.Check.ge(5), pa_model.Check.in_range(1, 9)]),
        "price": pa_model.Column(pl.Decimal(10, 2), pa_model.Check.le(Decimal("9.5")), required=False),
        "any": pa_model.Column(None, nullable=True),
    },
    name="Price List",
    unique="n",
)
imposter = pa_model.DataFrameSchema({"n": pa_model.Column(pl.Int64, pa_model.Check(lambda _: True, name="isin"))})
contradiction = pa_model.DataFrameSchema({"n": pa_model.Column(pl.Int64, [pa_model.Check.ge(5), pa_model.Check.le(1)])})
plain_value = 7

"""The built-in contract `sales`: one row for each line of a retail sale.

Stated as a Pandera model, so that notebooks can use it too; the pipeline judges by the contract made of it. A rule
for one datasource alone belongs into a contract of its own. `docs/guide/contracts.md` lists the columns.
"""

from typing import ClassVar

import pandera.polars as pa_model
import polars as pl


class Sales(pa_model.DataFrameModel):
    """Lines of retail sales: when, what, how many, at what price. A column that is not required is judged if it is there."""

    TransactionTimestamp: pl.Datetime
    ProductLine: str
    Quantity: int | None = pa_model.Field(gt=0)
    UnitPrice: float | None = pa_model.Field(ge=0)
    TransactionID: str | None
    ProductID: str | None = pa_model.Field(nullable=True)
    StoreID: str | None = pa_model.Field(nullable=True)
    CustomerID: str | None = pa_model.Field(nullable=True)
    City: str | None = pa_model.Field(nullable=True)
    PaymentMethod: str | None = pa_model.Field(nullable=True)
    Currency: str | None = pa_model.Field(nullable=True, str_matches=r"^[A-Z]{3}$")
    Discount: float | None = pa_model.Field(nullable=True, ge=0)
    Tax: float | None = pa_model.Field(nullable=True, ge=0)
    Total: float | None = pa_model.Field(nullable=True, ge=0)
    Rating: float | None = pa_model.Field(nullable=True, in_range={"min_value": 0, "max_value": 10})

    class Config:
        """What a contract knows beside its columns."""

        name = "sales"
        metadata: ClassVar = {"metricfoundry": {"version": 1, "time_column": "TransactionTimestamp"}}

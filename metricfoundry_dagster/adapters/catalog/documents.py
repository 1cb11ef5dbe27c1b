"""Contracts and recipes that were kept for a datasource. All that were ever kept stay; the newest one counts."""

from datetime import datetime
from typing import Literal

from sqlalchemy import insert, select

from metricfoundry_dagster.adapters.catalog.database import DatabaseUser
from metricfoundry_dagster.adapters.catalog.schema import documents

_Kind = Literal["contract", "recipe"]


class SqlDocuments(DatabaseUser):
    """A datasource need not be registered yet."""

    def keep_contract(self, datasource: str, text: str, now: datetime) -> None:
        """Keep the YAML text of a contract."""
        self._keep(datasource, "contract", text, now)

    def contract(self, datasource: str) -> str | None:
        """The YAML text that was kept last."""
        body = self._newest(datasource, "contract")
        return None if body is None else str(body)

    def keep_recipe(self, datasource: str, recipe: dict[str, object], now: datetime) -> None:
        """Keep overrides of the recipe."""
        self._keep(datasource, "recipe", recipe, now)

    def recipe(self, datasource: str) -> dict[str, object] | None:
        """The overrides that were kept last."""
        body = self._newest(datasource, "recipe")
        return body if isinstance(body, dict) else None

    def _keep(self, datasource: str, kind: _Kind, body: object, now: datetime) -> None:
        with self._database.writing() as connection:
            connection.execute(insert(documents).values(datasource=datasource, kind=kind, body=body, kept_at=now))

    def _newest(self, datasource: str, kind: _Kind) -> object:
        wanted = select(documents.c.body).where(documents.c.datasource == datasource, documents.c.kind == kind)
        with self._database.reading() as connection:
            return connection.scalar(wanted.order_by(documents.c.number.desc()).limit(1))

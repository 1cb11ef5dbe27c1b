"""Druid SQL: people's reading statements, and our own counts by it, since what people see is what counts."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any

from metricfoundry_dagster.adapters.druid_http import DruidHttp, Reply
from metricfoundry_dagster.adapters.druid_names import require_name
from metricfoundry_dagster.domain.datasets import require_dataset_id
from metricfoundry_dagster.domain.errors import UserError, WorldError
from metricfoundry_dagster.domain.served import QueryAnswer
from metricfoundry_dagster.pipeline.serving.druid_spec import DATASET_ID

_SQL = "/druid/v2/sql"
_MAX_SQL_CHARS = 100_000
_IDS_PER_QUERY = 2_000
#: How a statement that only reads begins, after blanks, comments and brackets. `SET` would change our bounds.
_READS = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(?:SELECT|WITH|VALUES|EXPLAIN|TABLE)\b", re.IGNORECASE | re.DOTALL)
_MARGIN_SECONDS = 5.0
#: For how long a person's query waits for a Druid that is away.
_QUERY_PATIENCE_SECONDS = 3.0
_UNKNOWN_TABLE = re.compile(r"Object '.*' not found")


class DruidSql:
    """Statements, sent to the Broker or to a Router before it."""

    def __init__(self, broker: DruidHttp, *, timeout_seconds: float) -> None:
        self._broker = broker
        self._timeout_seconds = timeout_seconds

    def read(self, sql: str, max_rows: int, served_names: Callable[[], Collection[str]]) -> QueryAnswer:
        """Run one reading statement; at most one row above `max_rows` is ever fetched.

        `served_names` is asked for the hint when a table is not there.

        Raises:
            UserError: `query.invalid` for what does not read, fails or takes too long; `query.too_many_rows`.
            WorldError: `druid.unreachable`, `druid.refused`.
        """
        if len(sql) > _MAX_SQL_CHARS:
            raise UserError("query.invalid", f"the statement has more than {_MAX_SQL_CHARS:,} characters")
        if not _READS.match(sql):
            raise UserError("query.invalid", "the statement does not read: only SELECT and the like can be run")
        reply = self._ask(sql, max_rows + 1)
        if not reply.succeeded:
            raise self._failure(reply, served_names)
        answer = _answer_of(reply)
        if answer is None:
            raise WorldError("serving.engine_failed", "Druid broke off in the middle of its answer")
        if len(answer.rows) > max_rows:
            raise UserError("query.too_many_rows", f"the answer has more than {max_rows:,} rows")
        return answer

    def count(self, name: str, dataset_ids: Collection[str]) -> dict[str, int] | None:
        """Rows of each of these datasets, none where there are none; None while SQL does not know the table.

        Raises:
            WorldError: `druid.unreachable`, `druid.refused`.
        """
        counts = dict.fromkeys(dataset_ids, 0)
        ordered = sorted(map(require_dataset_id, dataset_ids))
        for start in range(0, len(ordered), _IDS_PER_QUERY):
            ids = ", ".join(f"'{dataset_id}'" for dataset_id in ordered[start : start + _IDS_PER_QUERY])
            column = f'"{DATASET_ID}"'
            where = f'FROM "druid"."{require_name(name)}" WHERE {column} IN ({ids})'
            found = self._own(f"SELECT {column}, COUNT(*) {where} GROUP BY 1")
            if found is None:
                return None
            counts.update((str(dataset_id), int(rows)) for dataset_id, rows in found)
        return counts

    def known_columns(self, name: str) -> frozenset[str]:
        """The columns that SQL knows of a table; none for one that it does not know."""
        wanted = 'SELECT "COLUMN_NAME" FROM INFORMATION_SCHEMA.COLUMNS WHERE "TABLE_SCHEMA" = \'druid\''
        found = self._own(f"{wanted} AND \"TABLE_NAME\" = '{require_name(name)}'")
        return frozenset(str(row[0]) for row in found or ())

    def _own(self, sql: str) -> Sequence[Sequence[Any]] | None:
        """The rows of a statement of ours; None when there is no such table."""
        context = {"useCache": False, "populateCache": False, "timeout": int(self._timeout_seconds * 1_000)}
        body = {"query": sql, "resultFormat": "array", "context": context}
        reply = self._broker.post(_SQL, body, read_seconds=self._timeout_seconds + _MARGIN_SECONDS)
        if reply.succeeded and isinstance(reply.document, list):
            return reply.document
        if reply.status == 400 and _UNKNOWN_TABLE.search(reply.message):
            return None
        raise self._broker.refused("a count", reply)

    def _ask(self, sql: str, limit: int) -> Reply:
        context = {"sqlOuterLimit": limit, "sqlTimeZone": "UTC", "timeout": int(self._timeout_seconds * 1_000)}
        heads = {"header": True, "typesHeader": True, "sqlTypesHeader": True}
        body = {"query": sql, "resultFormat": "array", **heads, "context": context}
        read_seconds = self._timeout_seconds + _MARGIN_SECONDS
        return self._broker.post(_SQL, body, patience_seconds=_QUERY_PATIENCE_SECONDS, read_seconds=read_seconds)

    def _failure(self, reply: Reply, served_names: Callable[[], Collection[str]]) -> UserError | WorldError:
        if reply.status in {401, 403}:
            return self._broker.refused("the query", reply)
        if _UNKNOWN_TABLE.search(reply.message):
            names = ", ".join(sorted(served_names())) or "nothing"
            return UserError("query.invalid", reply.message, hint=f"What is served: {names}.")
        if reply.status == 504:
            return UserError("query.invalid", f"the statement was stopped after {self._timeout_seconds:g} seconds")
        return UserError("query.invalid", reply.message)


def _answer_of(reply: Reply) -> QueryAnswer | None:
    """Three head rows, names, Druid's types and SQL's, and the rows; None for half an answer."""
    if not isinstance(reply.document, list) or len(reply.document) < 3:
        return None
    names, _, types, *rows = reply.document
    readers = [_READERS.get(type_, _as_it_is) for type_ in types]
    values = [tuple(read(value) for read, value in zip(readers, row, strict=True)) for row in rows]
    return QueryAnswer(tuple(map(str, names)), tuple(map(str, types)), values)


def _as_it_is(value: object) -> object:
    return value


def _moment(value: object) -> object:
    """As a time in UTC; one outside of the calendar stays text."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC) if value is not None else None
    except (ValueError, OverflowError):
        return value


def _day(value: object) -> object:
    try:
        return date.fromisoformat(str(value)[:10]) if value is not None else None
    except ValueError:
        return value


def _array(value: object) -> object:
    """Druid sends arrays as JSON text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


_READERS = {"TIMESTAMP": _moment, "DATE": _day, "ARRAY": _array}

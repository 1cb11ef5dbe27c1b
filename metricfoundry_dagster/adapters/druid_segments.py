"""Druid's segments: which are used, what readers see of them, and marking them used or unused by id.

The used ones are read from Druid's metadata and are true at once; what readers see follows when the Coordinator has
looked there and its Historicals have loaded and dropped. Marks go by id alone: an id is never given twice.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metricfoundry_dagster.adapters.druid_http import DruidHttp
from metricfoundry_dagster.adapters.druid_names import require_name
from metricfoundry_dagster.pipeline.serving.druid_spec import DATASET_ID
from metricfoundry_dagster.pipeline.serving.druid_task import DimensionType
from metricfoundry_dagster.pipeline.serving.time_chunks import ETERNITY, TimeRange

_COUNT_CONTEXT = {"bySegment": True, "useCache": False, "populateCache": False}
_INDEXER = "/druid/indexer/v1/datasources"
_METADATA = "/druid/coordinator/v1/metadata/datasources"


@dataclass(frozen=True, slots=True)
class SeenRows:
    """The rows that readers see in one segment, and how many of them belong to the datasets asked for."""

    rows: int
    asked_for: int


class DruidSegments:
    """Segments, by datasource of Druid's and id."""

    def __init__(self, coordinator: DruidHttp, overlord: DruidHttp, broker: DruidHttp) -> None:
        self._coordinator = coordinator
        self._overlord = overlord
        self._broker = broker

    def used(self, name: str) -> frozenset[str]:
        """The ids of all used segments, those that newer ones hide included.

        Raises:
            WorldError: `druid.refused` or `druid.unreachable`.
        """
        reply = self._coordinator.post(f"{_METADATA}/{require_name(name)}/segments", [ETERNITY])
        if not reply.succeeded or not isinstance(reply.document, list):
            raise self._coordinator.refused(f"the segments of {name}", reply)
        return frozenset(map(str, reply.document))

    def seen(self, name: str, dataset_ids: Collection[str] = ()) -> dict[str, SeenRows]:
        """What readers see now, by id of the segment; nothing for a datasource that is not there."""
        asked_for = {"type": "in", "dimension": DATASET_ID, "values": sorted(dataset_ids)}
        mine = {"type": "filtered", "filter": asked_for, "aggregator": {"type": "count", "name": "mine"}}
        query = {
            "queryType": "timeseries",
            "granularity": "all",
            "aggregations": [{"type": "count", "name": "rows"}, *([mine] if dataset_ids else [])],
            "context": _COUNT_CONTEXT,
        }
        seen: dict[str, SeenRows] = {}
        for entry in self._ask(name, query):
            segment = entry["result"]
            rows = sum(part["result"]["rows"] for part in segment["results"])
            asked = sum(part["result"].get("mine", 0) for part in segment["results"])
            before = seen.get(segment["segment"], SeenRows(0, 0))  # one that is hidden in part is told in pieces
            seen[segment["segment"]] = SeenRows(before.rows + rows, before.asked_for + asked)
        return seen

    def span(self, name: str) -> TimeRange | None:
        """The first and the last moment that readers see; None when they see no row."""
        query = {
            "queryType": "timeseries",
            "granularity": "all",
            "aggregations": [
                {"type": "longMin", "name": "first", "fieldName": "__time"},
                {"type": "longMax", "name": "last", "fieldName": "__time"},
                {"type": "count", "name": "rows"},
            ],
            "context": {"useCache": False, "populateCache": False},
        }
        answers = [entry["result"] for entry in self._ask(name, query) if entry["result"]["rows"]]
        return TimeRange(int(answers[0]["first"]), int(answers[0]["last"])) if answers else None

    def unloaded(self, name: str) -> str | None:
        """What readers do not see although it is used and not hidden, in words; None when they see everything."""
        sql = (
            'SELECT "segment_id", "is_overshadowed", "is_available" FROM sys.segments '  # noqa: S608 - a slug alone
            f'WHERE "datasource" = \'{require_name(name)}\' AND "is_published" = 1'
        )
        reply = self._broker.post("/druid/v2/sql", {"query": sql, "resultFormat": "array"})
        if not reply.succeeded or not isinstance(reply.document, list):
            raise self._broker.refused(f"the segments of {name}", reply)
        published = {str(segment_id): (bool(hidden), bool(available)) for segment_id, hidden, available in reply.document}
        used = self.used(name)
        unknown = [segment_id for segment_id in used if segment_id not in published]
        missing = [segment_id for segment_id in used if published.get(segment_id) == (False, False)]
        if unknown or missing:
            return f"{len(unknown) + len(missing):,} of {len(used):,} segments of {name} are not loaded"
        return None

    def columns(self, name: str) -> dict[str, DimensionType]:
        """Every column that readers see, with the type that holds all its values."""
        query = {"queryType": "segmentMetadata", "merge": True, "analysisTypes": [], "usingDefaultInterval": False}
        answers = self._ask(name, query)
        found = answers[0]["columns"] if answers else {}
        return {column: _dimension_of(str(what.get("typeSignature") or what.get("type"))) for column, what in found.items()}

    def mark_used(self, name: str, ids: Collection[str]) -> None:
        """Let readers see segments again; those that newer used ones hide stay as they are."""
        self._mark(name, "markUsed", ids)

    def mark_unused(self, name: str, ids: Collection[str]) -> None:
        """Let readers see segments no more. They stay in Druid's deep storage until it is told to kill them."""
        self._mark(name, "markUnused", ids)

    def _mark(self, name: str, how: str, ids: Collection[str]) -> None:
        if not ids:
            return
        reply = self._overlord.post(f"{_INDEXER}/{require_name(name)}/{how}", {"segmentIds": sorted(ids)})
        if not reply.succeeded:
            raise self._overlord.refused(f"{how} for {len(ids):,} segments of {name}", reply)

    def _ask(self, name: str, query: Mapping[str, Any]) -> Sequence[Any]:
        reply = self._broker.post("/druid/v2", {**query, "dataSource": require_name(name), "intervals": [ETERNITY]})
        if not reply.succeeded or not isinstance(reply.document, list):
            raise self._broker.refused(f"what is seen of {name}", reply)
        return reply.document


def _dimension_of(type_: str) -> DimensionType:
    """Columns that are not the same everywhere, and arrays, get the type that takes anything."""
    known: dict[str, DimensionType] = {"LONG": "long", "DOUBLE": "double", "STRING": "string", "COMPLEX<json>": "json"}
    return known.get(type_, "auto")

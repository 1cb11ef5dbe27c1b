"""What the id of a segment tells: `<datasource>_<start>_<end>_<version>`, and `_<partition>` after the first one."""

from collections.abc import Iterable

import numpy as np

from metricfoundry_dagster.pipeline.serving.druid_task import Granularity
from metricfoundry_dagster.pipeline.serving.time_chunks import ETERNITY, GRANULARITIES

_DAYS_AT_LEAST: dict[Granularity, int] = {"YEAR": 365, "MONTH": 28, "DAY": 1}


def interval_of(name: str, segment_id: str) -> str:
    """The time chunk of a segment, as an ISO interval."""
    start, end = segment_id.removeprefix(f"{name}_").split("_")[:2]
    return f"{start}/{end}"


def granularity_of(interval: str) -> Granularity:
    """The time chunks that an interval is one of."""
    if interval == ETERNITY:
        return "ALL"
    start, end = (np.datetime64(moment.removesuffix("Z"), "ms") for moment in interval.split("/"))
    days = (end - start) / np.timedelta64(1, "D")
    return next((granularity for granularity, at_least in _DAYS_AT_LEAST.items() if days >= at_least), "HOUR")


def coarsest_of(name: str, segment_ids: Iterable[str]) -> Granularity:
    """The coarsest time chunks among segments; the finest that there are when there is no segment."""
    found = {granularity_of(interval_of(name, segment_id)) for segment_id in segment_ids}
    return max(found, key=GRANULARITIES.index, default="HOUR")

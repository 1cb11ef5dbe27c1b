"""What ids of segments tell of their time chunks."""

import pytest

from metricfoundry_dagster.adapters.druid_segment_ids import coarsest_of, granularity_of, interval_of
from metricfoundry_dagster.pipeline.serving.time_chunks import ETERNITY, TimeRange

MOMENT_MS = 1_600_000_000_000
VERSION = "2026-11-21T14:22:16.001Z"


def segment(name: str, interval: str, partition: str = "") -> str:
    return f"{name}_{interval.replace('/', '_')}_{VERSION}{partition}"


@pytest.mark.parametrize("name", ["sales", "a_b__c_2020"])
@pytest.mark.parametrize("partition", ["", "_1", "_12"])
def test_the_interval_comes_back(name: str, partition: str) -> None:
    for interval in (ETERNITY, "2020-01-01T00:00:00.000Z/2020-01-02T00:00:00.000Z"):
        assert interval_of(name, segment(name, interval, partition)) == interval


@pytest.mark.parametrize("granularity", ["HOUR", "DAY", "MONTH", "YEAR", "ALL"])
def test_each_chunk_of_ours_is_known_again(granularity: str) -> None:
    for moment_ms in (MOMENT_MS, -62_135_596_800_000, 253_402_300_799_999, 951_782_400_000):
        assert granularity_of(TimeRange(moment_ms, moment_ms).interval(granularity)) == granularity  # type: ignore[arg-type] # one of them


def test_the_coarsest_of_many_counts() -> None:
    day, month = (TimeRange(MOMENT_MS, MOMENT_MS).interval(each) for each in ("DAY", "MONTH"))
    assert coarsest_of("sales", [segment("sales", day), segment("sales", month, "_1")]) == "MONTH"
    assert coarsest_of("sales", []) == "HOUR"

"""Times as Druid cuts them: milliseconds since 1970 in UTC, whole time chunks, intervals. No column is looked at here.

Years lie outside of 1..9999 as soon as a chunk is added to the last one, so nothing here is a `datetime`.
"""

from dataclasses import dataclass

import numpy as np

from metricfoundry_dagster.pipeline.serving.druid_task import Granularity

#: All time that Druid knows: the one chunk of granularity ALL.
ETERNITY = "-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"
MAX_CHUNKS = 2_000
MIN_ROWS_PER_CHUNK = 100_000
#: From the finest to the coarsest.
GRANULARITIES: tuple[Granularity, ...] = ("HOUR", "DAY", "MONTH", "YEAR", "ALL")
_UNITS: dict[Granularity, str] = {"HOUR": "h", "DAY": "D", "MONTH": "M", "YEAR": "Y"}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The first and the last moment, both inclusive, in milliseconds since 1970 in UTC."""

    first_ms: int
    last_ms: int

    def joined(self, other: "TimeRange | None") -> "TimeRange":
        """The range that covers both."""
        if other is None:
            return self
        return TimeRange(min(self.first_ms, other.first_ms), max(self.last_ms, other.last_ms))

    def chunks(self, granularity: Granularity) -> int:
        """How many time chunks the range touches."""
        if granularity == "ALL":
            return 1
        return _chunk(self.last_ms, granularity) - _chunk(self.first_ms, granularity) + 1

    def interval(self, granularity: Granularity) -> str:
        """The ISO interval of the whole chunks that the range touches.

        For ALL it is eternity: a task that appends under a narrower one fails, and one that replaces would leave it
        to the next to overlap it in part.
        """
        if granularity == "ALL":
            return ETERNITY
        first, last = _chunk(self.first_ms, granularity), _chunk(self.last_ms, granularity)
        return f"{iso_time(_start_ms(first, granularity))}/{iso_time(_start_ms(last + 1, granularity))}"


def choose_granularity(replaced: TimeRange, rows: int) -> tuple[Granularity, str]:
    """The smallest time chunks that are few enough and full enough, and the reason in words.

    `replaced` is all that the task writes or clears: Druid marks each empty chunk in it as well.
    """
    for granularity in _UNITS:
        chunks = replaced.chunks(granularity)
        if chunks <= MAX_CHUNKS and rows >= MIN_ROWS_PER_CHUNK * chunks:
            return granularity, f"the smallest that hold {MIN_ROWS_PER_CHUNK:,} rows each ({rows:,} rows, chunks: {chunks:,})"
    return "ALL", f"at most {MAX_CHUNKS:,} smaller ones with {MIN_ROWS_PER_CHUNK:,} rows each cannot be filled (rows: {rows:,})"


def iso_time(milliseconds: int) -> str:
    """A moment as Druid reads it, such as `2000-01-01T00:00:00.000Z`."""
    return f"{np.datetime64(milliseconds, 'ms')}Z"


def _chunk(milliseconds: int, granularity: Granularity) -> int:
    """The number of the chunk, counted from the one that holds 1970."""
    chunk = np.datetime64(milliseconds, "ms").astype(f"datetime64[{_UNITS[granularity]}]")
    return int(chunk.astype(np.int64))


def _start_ms(chunk: int, granularity: Granularity) -> int:
    start = np.int64(chunk).astype(f"datetime64[{_UNITS[granularity]}]").astype("datetime64[ms]")
    return int(start.astype(np.int64))

"""The files of a storm: seeded, each with the rows and the checksum that must be served of it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster_tests.faults.history import CHECKSUM_COLUMN, PutIn

APPENDED = ("orders", "visits", "sensors")
REPLACED = "prices"
#: One in so many files is large, so that its stages take long enough to be hurt in.
_LARGE_EVERY = 12
_REPLACED_EVERY = 25
_LARGE_ROWS = (30_000, 80_000)
_SMALL_ROWS = (5, 400)
#: More than must wait together to share a run.
_BURST = 25


@dataclass(frozen=True, slots=True)
class StormFile:
    """One file: where it goes below the drop zone, and what is in it."""

    key: str
    datasource: str
    mode: Mode
    content: bytes
    rows: int
    checksum: int

    def put_in(self, uri: str) -> PutIn:
        """What must become of it at that address."""
        return PutIn(uri, self.datasource, self.mode, self.rows, self.checksum)


def storm_file(number: int, seed: int) -> StormFile:
    """The file of that number in the storm of that seed: the same bytes however often it is asked for."""
    rng = Random(f"{seed}/{number}")
    replaced = number % _REPLACED_EVERY == 0
    datasource = REPLACED if replaced else rng.choice(APPENDED)
    rows = rng.randint(*(_LARGE_ROWS if number % _LARGE_EVERY == 0 else _SMALL_ROWS))
    values = [rng.randrange(1_000_000_000) for _ in range(rows)]
    lines = [f"line,{CHECKSUM_COLUMN},word"]
    lines += [f"{line},{value},w{value % 97}" for line, value in enumerate(values)]
    mode = Mode.REPLACE if replaced else Mode.APPEND
    content = ("\n".join(lines) + "\n").encode()
    return StormFile(f"{datasource}/{number:05}.csv", datasource, mode, content, rows, sum(values))


class DropPlan:
    """Lets files fall as the storm goes on: in bursts, so that batches form, or one by one."""

    def __init__(self, seed: int, drop: Callable[[StormFile], PutIn]) -> None:
        self.put_in: list[PutIn] = []
        self._seed = seed
        self._rng = Random(seed)
        self._drop = drop
        self._due: list[float] = []

    @property
    def planned(self) -> int:
        """Files that have fallen, or are about to."""
        return len(self.put_in) + len(self._due)

    @property
    def is_done(self) -> bool:
        """Nothing is about to fall."""
        return not self._due

    def plan(self, files: int, now: float) -> None:
        """Plan about as many more: a burst at once, of enough to make a batch, or some one by one."""
        is_burst = self._rng.random() < 0.5
        gap = 0.0 if is_burst else self._rng.uniform(0.2, 1.0)
        begin = max([now, *self._due])
        self._due += [begin + gap * position for position in range(max(files, _BURST) if is_burst else files)]

    def let_fall(self, now: float) -> None:
        """Drop what is due; what could not be dropped is due again."""
        while self._due and self._due[0] <= now:
            self.put_in.append(self._drop(storm_file(len(self.put_in) + 1, self._seed)))
            self._due.pop(0)

"""A storm: files fall while processes are killed in the middle of runs; then calm, and a checker reads the history.

The schedule is drawn from a seed, the moments come from the catalog: a kill counts as "in the middle" only when jobs
were being processed as it struck. Put here when what dies and what is told of it; who may die is in `victims.py`.
"""

import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from random import Random

import dagster as dg

from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.layout import INCOMING
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.wiring import dagster_environment
from metricfoundry_dagster_tests.faults.drop_plan import APPENDED, DropPlan, StormFile, storm_file
from metricfoundry_dagster_tests.faults.history import History, PutIn
from metricfoundry_dagster_tests.faults.judge_history import EXCUSES, complaints_about
from metricfoundry_dagster_tests.faults.read_history import read_history
from metricfoundry_dagster_tests.faults.victims import Victim
from metricfoundry_dagster_tests.running_instance import RunningInstance

_ALL = 1_000_000
_PAUSE_SECONDS = 0.1
#: How long one kill waits for a run to be in the middle of, and how long progress may take after it.
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a storm, at least: `datasets` in all, and `kills` that each hit the middle of a run.

    `calm_seconds` bounds the time that is waited after the last kill.
    """

    datasets: int
    kills: int
    seed: int
    calm_seconds: float = 900.0
    longest_outage_seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill. `processing` counts the jobs that were under way as it struck, `in_one_run` those of the largest run.

    `down_seconds` is how long the victim was left dead, `until_next_seconds` when the next dataset was completed.
    """

    number: int
    victim: str
    processing: int
    in_one_run: int
    completed: int
    at_seconds: float
    down_seconds: float
    until_next_seconds: float


@dataclass(slots=True)
class Report:
    """What a storm did, and what is wrong after it."""

    seed: int
    kills: list[Kill] = field(default_factory=list)
    datasets: int = 0
    rows: int = 0
    jobs: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    litter: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def in_the_middle(self) -> int:
        """Kills that hit a run."""
        return sum(kill.processing > 0 for kill in self.kills)

    def summary(self) -> dict[str, object]:
        """One line's worth of it."""
        return {
            "seed": self.seed,
            "kills": dict(Counter(kill.victim for kill in self.kills)),
            "in_the_middle": self.in_the_middle,
            "of_batches": sum(kill.in_one_run > 1 for kill in self.kills),
            "datasets": self.datasets,
            "rows": self.rows,
            "jobs": self.jobs,
            "errors": dict(self.errors),
            "litter": self.litter,
            "seconds": round(self.seconds),
            "complaints": self.complaints,
        }


class Storm:
    """One storm over a running instance. `tell` is given a JSON line for each kill and one at the end."""

    def __init__(
        self,
        plan: Plan,
        instance: RunningInstance,
        victims: Sequence[Victim],
        *,
        tell: Callable[[str], object] = sys.stdout.write,
    ) -> None:
        self._plan = plan
        self._instance = instance
        self._victims = victims
        self._tell = tell
        self._rng = Random(plan.seed)
        self._drops = DropPlan(plan.seed, self._drop)
        self._deck: list[Victim] = []
        self._report = Report(plan.seed)
        self._began = time.monotonic()
        self._last_seen: list[Job] = []

    def rage(self) -> Report:
        """Drop, kill, wait for calm, and check."""
        founders = self._found_datasources()
        while self._report.in_the_middle < self._plan.kills and self._find_the_middle():
            self._kill_one()
        self._drops.plan(max(0, self._plan.datasets - len(APPENDED) - self._drops.planned), time.monotonic())
        self._wait_for_calm()
        self._check([*founders, *self._drops.put_in])
        self._line(self._report.summary())
        return self._report

    def _found_datasources(self) -> list[PutIn]:
        """Bring one file of each appended datasource by name, so that the drop zone's files inherit the mode."""
        founded = []
        for number, datasource in enumerate(APPENDED, start=1):
            drawn = storm_file(-number, self._plan.seed)
            path = self._instance.folder / "founders" / f"{datasource}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(drawn.content)
            wishes = Wishes(datasource=datasource, mode=Mode.APPEND)
            uri = register_source(self._instance.ports, str(path), wishes).dataset.source_uri
            founded.append(PutIn(uri, datasource, Mode.APPEND, drawn.rows, drawn.checksum))
        return founded

    def _drop(self, file: StormFile) -> PutIn:
        store, key = self._instance.ports.store, INCOMING + file.key
        store.write_bytes(Root.UPLOADS, key, file.content)
        return file.put_in(store.uri(Root.UPLOADS, key))

    def _find_the_middle(self) -> bool:
        """Wait until a run is under way and the kills are spread over the datasets; False when nothing moves any more."""
        portion = math.ceil(self._plan.datasets / (self._plan.kills + 1))
        wanted = portion * self._report.in_the_middle

        def is_the_middle(jobs: list[Job]) -> bool:
            if self._drops.planned + len(APPENDED) - _ended(jobs) < portion:
                self._drops.plan(portion, time.monotonic())
            return _completed(jobs) >= wanted and _processing(jobs) > 0

        return self._pass_until(is_the_middle)

    def _kill_one(self) -> None:
        """Kill at once or somewhere in the next second, bring back, and wait until something has been completed since."""
        self._pass_for(self._rng.choice([0.0, self._rng.uniform(0.0, 1.0)]))
        victim = self._draw()
        jobs = self._look()
        processing, completed = _processing(jobs), _completed(jobs)
        struck_at = time.monotonic()
        if not victim.strike():
            self._deck.insert(0, victim)
            return
        down_seconds = self._bring_back(victim)
        self._pass_until(lambda jobs: _completed(jobs) > completed or (self._drops.is_done and _ended(jobs) == len(jobs)))
        kill = Kill(
            number=len(self._report.kills) + 1,
            victim=victim.name,
            processing=processing,
            in_one_run=_largest_run(jobs),
            completed=completed,
            at_seconds=round(struck_at - self._began, 1),
            down_seconds=down_seconds,
            until_next_seconds=round(time.monotonic() - struck_at, 1),
        )
        self._report.kills.append(kill)
        self._line(asdict(kill))

    def _draw(self) -> Victim:
        """By chance, but each once before any comes again."""
        if not self._deck:
            self._deck = self._rng.sample(self._victims, len(self._victims))
        return self._deck.pop()

    def _bring_back(self, victim: Victim) -> float:
        if victim.revive is None:
            return 0.0
        down_seconds = round(self._rng.uniform(0.2, self._plan.longest_outage_seconds), 1)
        time.sleep(down_seconds)
        victim.revive()
        return down_seconds

    def _wait_for_calm(self) -> None:
        """Until all that was dropped is completed, or nothing moves any more; the checker tells what is missing."""
        deadline = time.monotonic() + self._plan.calm_seconds
        while time.monotonic() < deadline:
            jobs = self._look()
            if (
                self._drops.is_done
                and len(jobs) == len(APPENDED) + self._drops.planned
                and _completed(jobs) == len(jobs)
                and self._runs_are_over()
            ):
                return
            self._pause()

    def _check(self, put_in: Collection[PutIn]) -> None:
        with dagster_of(self._instance) as dagster:
            history = read_history(self._instance.settings, self._instance.ports, dagster)
        report = self._report
        report.complaints = complaints_about(history, put_in, excused=self._excused(), kills=len(report.kills))
        report.datasets, report.rows = len(history.datasets), sum(rows.rows for rows in history.served)
        report.jobs = sum(len(each.jobs) for each in history.datasets)
        report.errors = _errors(history)
        report.litter = dict(history.litter)
        report.seconds = time.monotonic() - self._began

    def _excused(self) -> set[str]:
        """The error codes that the kills explain."""
        return {code for kill in self._report.kills for code in EXCUSES.get(kill.victim, ())} | EXCUSES["worker"]

    def _runs_are_over(self) -> bool:
        unfinished = [status for status in dg.DagsterRunStatus if status not in _FINAL]
        with dagster_of(self._instance) as dagster:
            return not dagster.get_runs(dg.RunsFilter(statuses=unfinished), limit=1)

    def _look(self) -> list[Job]:
        """The newest job of every dataset; as it was seen last while the catalog is away."""
        with suppress(WorldError):
            self._last_seen = [job for _, job in self._instance.ports.catalog.datasets(DatasetFilter(limit=_ALL))]
        return self._last_seen

    def _pass_until(self, holds: Callable[[list[Job]], bool]) -> bool:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if holds(self._look()):
                return True
            self._pause()
        return False

    def _pass_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._pause()

    def _pause(self) -> None:
        with suppress(WorldError):  # a store that is away takes the file later
            self._drops.let_fall(time.monotonic())
        time.sleep(_PAUSE_SECONDS)

    def _line(self, document: object) -> None:
        self._tell(json.dumps(document) + "\n")


@contextmanager
def dagster_of(instance: RunningInstance) -> Iterator[dg.DagsterInstance]:
    """Dagster's own storage, as the processes of the instance use it."""
    earlier = dict(os.environ)
    os.environ.update(dagster_environment(instance.settings))
    try:
        with dg.DagsterInstance.get() as dagster:
            yield dagster
    finally:
        os.environ.clear()
        os.environ.update(earlier)


_FINAL = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def _processing(jobs: list[Job]) -> int:
    return sum(job.state is JobState.PROCESSING for job in jobs)


def _largest_run(jobs: list[Job]) -> int:
    """How many jobs the run carries that carries most of those under way."""
    return max(Counter(job.run_id for job in jobs if job.state is JobState.PROCESSING).values(), default=0)


def _completed(jobs: list[Job]) -> int:
    return sum(job.state is JobState.COMPLETED for job in jobs)


def _ended(jobs: list[Job]) -> int:
    return sum(job.state.ended for job in jobs)


def _errors(history: History) -> Counter[str]:
    """Why jobs ended that were not completed, by code."""
    return Counter(job.error.code for each in history.datasets for job in each.jobs if job.error)

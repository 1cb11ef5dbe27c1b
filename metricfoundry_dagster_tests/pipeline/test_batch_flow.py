"""The flow for many datasets: each is judged alone, and only a world that is away stops them all."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.gather import BatchRules, gather
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, MetricFoundryError, WorldError
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.layout import manifest_key
from metricfoundry_dagster.domain.products import Root, Stage
from metricfoundry_dagster.domain.served import Servable, Serving
from metricfoundry_dagster.pipeline.batch_flow import BatchInterrupted, BatchPace, Taken, carry_batch, what_was_made
from metricfoundry_dagster.pipeline.flow import MAX_WORLD_FAILURES
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import GivenBack
from metricfoundry_dagster.ports.contract_files import ContractFiles
from metricfoundry_dagster_tests.embedded import GOOD_CSV, embedded_ports, ingest, register, write_source
from metricfoundry_dagster_tests.fakes.memory_engine import MemoryEngine

RUN = "run-1"
_RULES = BatchRules(2, 100, 10**9, 10**9, timedelta(0))
_PACE = BatchPace(100, 0, 0.01, timedelta(minutes=1))


@dataclass
class Batch:
    """Datasets that were claimed together, and what was told of them."""

    ports: Ports
    folder: Path
    jobs: list[Job] = field(default_factory=list)
    told: list[list[str]] = field(default_factory=list)

    def add(self, name: str, content: str | bytes = GOOD_CSV, datasource: str = "people") -> Job:
        """Register a file, appended to a datasource, and claim its job for the batch."""
        path = write_source(self.folder, name, content)
        job = register(self.ports, path, datasource=datasource, mode=Mode.APPEND)
        self.jobs += self.ports.catalog.claim_jobs({job.job_id: "batch-1"}, self.ports.clock.now())
        return job

    def carry(self, group: int = 100, retries: int = 0, ports: Ports | None = None, run: str = RUN) -> list[Taken]:
        """Take all through, as a run would."""
        parent = None if run == RUN else RUN
        self.ports.catalog.attach_batch("batch-1", run)
        pace = BatchPace(group, retries, retry_base_seconds=0.01, hold=timedelta(minutes=1))
        members = [(job.dataset_id, job.job_id) for job in self.jobs]
        return carry_batch(members, (run, parent), ports or self.ports, pace, self.tell, logging.getLogger())

    def tell(self, group: Sequence[Taken]) -> None:
        """Note the names of a group."""
        self.told.append([taken.dataset_id for taken in group])

    def states(self) -> list[tuple[JobState, str]]:
        """State and error of each dataset's newest job."""
        newest = [self.ports.catalog.jobs_of(job.dataset_id)[0] for job in self.jobs]
        return [(job.state, job.error.code if job.error else "") for job in newest]

    def served(self) -> list[tuple[object, ...]]:
        """The datasets that readers see, with their rows."""
        sql = "SELECT _dataset_id, count(*) FROM people GROUP BY 1 ORDER BY 1"
        return self.ports.engine.query(sql, 1_000).rows


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """An empty batch on real ports."""
    return Batch(embedded_ports(tmp_path), tmp_path)


class FailingContracts:
    """Implements `ContractFiles`; looking for a datasource's contract does what the test says."""

    def __init__(self, inner: ContractFiles, find: Callable[[str], str | None]) -> None:
        self._inner = inner
        self._find = find

    def read(self, reference: str) -> str:
        return self._inner.read(reference)

    def find(self, datasource: str) -> str | None:
        return self._find(datasource)


class FailingEngine(MemoryEngine):
    """Is away for the first `failures` calls."""

    def __init__(self, ports: Ports, failures: int) -> None:
        super().__init__(ports.catalog, ports.store, ports.clock)
        self._failures = failures

    def serve_all(self, servables: Sequence[Servable]) -> list[Serving | MetricFoundryError]:
        if self._failures:
            self._failures -= 1
            raise WorldError("serving.engine_failed", "away")
        return super().serve_all(servables)


class PoisonedEngine(MemoryEngine):
    """Fails for one datasource: with all that is to be served with it, or, when it can tell, for it alone."""

    def __init__(self, ports: Ports, code: str, *, can_tell: bool) -> None:
        super().__init__(ports.catalog, ports.store, ports.clock)
        self._error = WorldError(code, "no")
        self._can_tell = can_tell

    def serve_all(self, servables: Sequence[Servable]) -> list[Serving | MetricFoundryError]:
        good = [each for each in servables if each.datasource != "poison"]
        if len(good) < len(servables) and not self._can_tell:
            raise self._error
        served = iter(super().serve_all(good))
        return [self._error if each.datasource == "poison" else next(served) for each in servables]


class RefusingEngine(MemoryEngine):
    """Serves nothing: every datasource is kept in the other mode."""

    def __init__(self, ports: Ports) -> None:
        super().__init__(ports.catalog, ports.store, ports.clock)

    def serve_all(self, servables: Sequence[Servable]) -> list[Serving | MetricFoundryError]:
        return [ConflictError("datasource.mode_conflict", "kept in the other mode") for _ in servables]


def away_for(datasources: set[str], code: str = "store.unreachable") -> Callable[[str], str | None]:
    """Contracts that lie on a server which is away for these datasources."""

    def find(datasource: str) -> str | None:
        if datasource in datasources:
            raise WorldError(code, f"no answer for {datasource}")
        return None

    return find


def with_contracts(batch: Batch, find: Callable[[str], str | None]) -> Ports:
    """The ports, with contracts that are looked for in another way."""
    return replace(batch.ports, contracts=FailingContracts(batch.ports.contracts, find))


def test_good_ones_are_served_and_bad_ones_stop_alone(batch: Batch) -> None:
    jobs = [batch.add("a.csv"), batch.add("empty.csv", "id,name\n"), batch.add("zero.csv", b""), batch.add("b.csv")]
    done = batch.carry()
    assert [taken.stopped_at for taken in done] == [None, Stage.STAGED_PARQUET, Stage.RAW_OBJECT, None]
    assert batch.states() == [
        (JobState.COMPLETED, ""),
        (JobState.FAILED, "staging.too_few_rows"),
        (JobState.FAILED, "file.empty"),
        (JobState.COMPLETED, ""),
    ]
    assert batch.served() == sorted([(jobs[0].dataset_id, 3), (jobs[3].dataset_id, 3)])
    assert batch.told == [[job.dataset_id for job in jobs]]
    assert batch.ports.catalog.untold_jobs(RUN) == []


def test_everything_is_published_as_in_a_run_of_its_own(batch: Batch) -> None:
    """The same stages, ledgers, gates and findings, in the catalog and in the store."""
    alone = ingest(batch.ports, write_source(batch.folder, "alone.csv"), datasource="alone", mode=Mode.APPEND)
    job = batch.add("a.csv", datasource="together")
    [taken] = batch.carry()
    verdicts = [(p.stage, p.gate.passed, [f.code for f in p.findings]) for p in taken.products]
    assert verdicts == [(p.stage, p.gate.passed, [f.code for f in p.findings]) for p in alone]
    ledgers = [[(t.rows_in, t.rows_out, t.rows_rejected) for t in p.tables] for p in taken.products]
    assert ledgers == [[(t.rows_in, t.rows_out, t.rows_rejected) for t in p.tables] for p in alone]
    for product in taken.products:
        shown = batch.ports.store.read_bytes(Root.ARTIFACTS, manifest_key(job.dataset_id, product.stage))
        assert shown == batch.ports.store.read_bytes(
            Root.ARTIFACTS, manifest_key(job.dataset_id, product.stage).replace("manifest/", "manifest/1/")
        )
    assert what_was_made(batch.ports.catalog.job(job.job_id), batch.ports) == taken


def test_groups_are_told_of_one_after_another(batch: Batch) -> None:
    for number in range(5):
        batch.add(f"{number}.csv")
    batch.carry(group=2)
    assert [len(group) for group in batch.told] == [2, 2, 1]
    assert len(batch.served()) == 5


def test_a_dataset_that_is_canceled_stops_alone(batch: Batch) -> None:
    """One while it waits, one while another is under way, which it learns when it is published."""
    waiting, under_way, good = (batch.add(name) for name in ("a.csv", "b.csv", "c.csv"))
    catalog = batch.ports.catalog
    catalog.close_job(waiting.job_id, JobState.CANCELED, None, batch.ports.clock.now())

    def cancel_the_second(_datasource: str) -> str | None:
        catalog.close_job(under_way.job_id, JobState.CANCELED, None, batch.ports.clock.now())
        return None

    done = batch.carry(ports=with_contracts(batch, cancel_the_second))
    assert [taken.error.code if taken.error else "" for taken in done] == ["job.canceled", "attempt.fenced", ""]
    assert [taken.stopped_at for taken in done] == [None, Stage.RAW_OBJECT, None]
    assert [state for state, _ in batch.states()] == [JobState.CANCELED, JobState.CANCELED, JobState.COMPLETED]
    assert batch.served() == [(good.dataset_id, 3)]


def test_one_that_its_datasource_refuses_stops_at_the_last_gate(batch: Batch) -> None:
    job = batch.add("a.csv")
    [taken] = batch.carry(ports=replace(batch.ports, engine=RefusingEngine(batch.ports)))
    assert (taken.stopped_at, taken.products[-1].gate.passed) == (Stage.DRUID_DATASOURCE, False)
    assert batch.ports.catalog.stage(job.dataset_id, Stage.DRUID_DATASOURCE) is not None
    assert batch.states() == [(JobState.FAILED, "datasource.mode_conflict")]


def test_an_error_that_nobody_foresaw_stops_its_dataset_alone(batch: Batch) -> None:
    batch.add("a.csv", datasource="odd")
    batch.add("b.csv")

    def find(datasource: str) -> str | None:
        if datasource == "odd":
            raise ZeroDivisionError("secret")
        return None

    odd, _ = batch.carry(ports=with_contracts(batch, find))
    assert batch.states() == [(JobState.FAILED, "unexpected"), (JobState.COMPLETED, "")]
    assert odd.stopped_at is Stage.STAGED_PARQUET
    assert odd.error is not None
    assert "secret" not in odd.error.message


def test_one_that_the_world_does_not_answer_for_is_tried_again_alone_when_it_answers_for_the_next(batch: Batch) -> None:
    """As in a run of its own: later, and so often that a server has time to come back."""
    away = batch.add("a.csv", datasource="away")
    batch.add("b.csv")
    [taken, _] = batch.carry(retries=2, ports=with_contracts(batch, away_for({"away"})))
    assert (taken.error and taken.error.code, taken.stopped_at) == ("store.unreachable", Stage.STAGED_PARQUET)
    assert batch.states() == [(JobState.CREATED, ""), (JobState.COMPLETED, "")]
    waiting, before = batch.ports.catalog.jobs_of(away.dataset_id)
    assert (waiting.batch_limit, before.error and before.error.code) == (1, "store.unreachable")


def test_a_lost_object_is_no_sign_that_the_store_is_away(batch: Batch) -> None:
    names = {f"away{number}" for number in range(4)}
    for name in sorted(names):
        batch.add(f"{name}.csv", datasource=name)
    batch.add("good.csv")
    batch.carry(ports=with_contracts(batch, away_for(names, "store.object_missing")))
    assert batch.states() == [(JobState.FAILED, "store.object_missing")] * 4 + [(JobState.COMPLETED, "")]


def test_the_world_is_waited_for(batch: Batch) -> None:
    """Two failures, and two tries more than the first."""
    batch.add("a.csv")
    batch.carry(retries=2, ports=replace(batch.ports, engine=FailingEngine(batch.ports, failures=2)))
    assert batch.states() == [(JobState.COMPLETED, "")]


def test_when_the_world_is_away_all_that_is_not_done_goes_on_in_another_run(batch: Batch) -> None:
    """Nothing fails for a reason that is not its own: jobs wait again, and the first group stays done."""
    for number in range(2):
        batch.add(f"{number}.csv")
    for number in range(6):
        batch.add(f"away{number}.csv", datasource=f"away{number}")
    away = {f"away{number}" for number in range(6)}
    with pytest.raises(BatchInterrupted, match="6 datasets go on in another run") as caught:
        batch.carry(group=2, ports=with_contracts(batch, away_for(away)))
    assert caught.value.record.code == "store.unreachable"
    assert batch.states() == [(JobState.COMPLETED, "")] * 2 + [(JobState.CREATED, "")] * 6
    now = batch.ports.clock.now()
    assert batch.ports.catalog.waiting_jobs(9, now) == []
    waiting = batch.ports.catalog.waiting_jobs(9, now + timedelta(minutes=2))
    limits = {job.dataset_id.partition("--")[0]: job.batch_limit for job in waiting}
    assert limits == {"away0": 2, "away1": 2, "away2": None, "away3": None, "away4": None, "away5": None}


def test_three_in_a_row_are_a_sign_that_the_world_is_away(batch: Batch) -> None:
    """What comes after them is not tried, and one that was done before stays open for another run as well."""
    batch.add("a.csv")
    names = [f"away{number}" for number in range(4)]
    for name in names:
        batch.add(f"{name}.csv", datasource=name)
    asked: list[str] = []

    def find(datasource: str) -> str | None:
        asked.append(datasource)
        return away_for(set(names))(datasource)

    with pytest.raises(BatchInterrupted):
        batch.carry(ports=with_contracts(batch, find))
    assert asked[-3:] == names[:3]
    assert batch.states() == [(JobState.CREATED, "")] * 5


def test_an_engine_that_is_away_gives_all_of_the_group_back(batch: Batch) -> None:
    jobs = [batch.add(f"{number}.csv") for number in range(2)]
    with pytest.raises(BatchInterrupted):
        batch.carry(ports=replace(batch.ports, engine=FailingEngine(batch.ports, failures=9)))
    assert batch.states() == [(JobState.CREATED, "")] * 2
    earlier = [batch.ports.catalog.job(job.job_id) for job in jobs]
    assert {job.error.code for job in earlier if job.error} == {"serving.engine_failed"}


def go_on(batch: Batch, ports: Ports, rounds: int) -> list[list[int]]:
    """Take up what waits so many times, in batches as small as asked for; give their sizes, round by round."""
    sizes = []
    for number in range(rounds):
        waiting = batch.ports.catalog.waiting_jobs(99, batch.ports.clock.now() + timedelta(days=1))
        companies = gather(waiting, _RULES, batch.ports.clock.now(), is_busy=False)
        for position, company in enumerate(companies):
            batch_id, run_id = f"batch-{number}-{position}", f"run-{number}-{position}"
            batch.ports.catalog.claim_jobs({job.job_id: batch_id for job in company}, batch.ports.clock.now())
            batch.ports.catalog.attach_batch(batch_id, run_id)
            members = [(job.dataset_id, job.job_id) for job in company]
            with suppress(BatchInterrupted):
                carry_batch(members, (run_id, None), ports, _PACE, batch.tell, logging.getLogger())
        sizes.append([len(company) for company in companies])
    return sizes


@pytest.mark.parametrize(("code", "tries"), [("druid.task_failed", MAX_WORLD_FAILURES), ("druid.refused", 3)])
def test_one_that_fails_a_whole_group_is_found_and_the_others_are_served(batch: Batch, code: str, tries: int) -> None:
    """The batches get smaller; who is left alone with the reason is tried ten times when it may pass, else once."""
    for number in range(15):
        register(batch.ports, write_source(batch.folder, f"{number}.csv"), datasource="people", mode=Mode.APPEND)
    bad = register(batch.ports, write_source(batch.folder, "bad.csv"), datasource="poison", mode=Mode.APPEND)
    poisoned = replace(batch.ports, engine=PoisonedEngine(batch.ports, code, can_tell=False))
    assert go_on(batch, poisoned, 3) == [[16], [4, 4, 4, 4], [1, 1, 1, 1]]
    assert len(batch.served()) == 15
    assert go_on(batch, poisoned, tries - 2) == [[1]] * (tries - 3) + [[]]
    newest, *_ = of_bad = batch.ports.catalog.jobs_of(bad.dataset_id)
    assert (len(of_bad), newest.state, newest.error and newest.error.code) == (tries, JobState.FAILED, code)


def test_a_datasource_that_cannot_be_served_stops_no_other(batch: Batch) -> None:
    """Its datasets are tried again in smaller batches, where each of them can be told from the others."""
    good = batch.add("a.csv")
    for number in range(8):
        batch.add(f"{number}.csv", datasource="poison")
    done = batch.carry(ports=replace(batch.ports, engine=PoisonedEngine(batch.ports, "druid.task_failed", can_tell=True)))
    assert [taken.stopped_at for taken in done] == [None] + [Stage.DRUID_DATASOURCE] * 8
    assert batch.states() == [(JobState.COMPLETED, "")] + [(JobState.CREATED, "")] * 8
    assert {batch.ports.catalog.jobs_of(job.dataset_id)[0].batch_limit for job in batch.jobs[1:]} == {2}
    assert batch.served() == [(good.dataset_id, 3)]


def test_an_engine_that_does_not_answer_is_waited_for_together_and_not_for_ever(batch: Batch) -> None:
    """Nobody is suspected, so that the batch is as large as before when the engine is back; each wait is longer."""
    jobs = [register(batch.ports, write_source(batch.folder, f"{number}.csv"), datasource="poison") for number in range(3)]
    away = replace(batch.ports, engine=PoisonedEngine(batch.ports, "druid.unreachable", can_tell=False))
    assert go_on(batch, away, 2) == [[3], [3]]
    now = batch.ports.clock.now()
    assert batch.ports.catalog.waiting_jobs(9, now + timedelta(seconds=100)) == []
    assert len(batch.ports.catalog.waiting_jobs(9, now + timedelta(seconds=125))) == 3
    assert go_on(batch, away, MAX_WORLD_FAILURES - 1) == [[3]] * (MAX_WORLD_FAILURES - 2) + [[]]
    newest = [batch.ports.catalog.jobs_of(job.dataset_id)[0] for job in jobs]
    assert [(job.state, job.error and job.error.code) for job in newest] == [(JobState.FAILED, "druid.unreachable")] * 3


def test_a_run_that_is_started_again_takes_nothing_from_the_run_that_took_over(batch: Batch) -> None:
    """Its jobs were given back, and are another's by now, when the world goes away."""
    jobs = [batch.add(f"{number}.csv") for number in range(4)]
    catalog, now = batch.ports.catalog, batch.ports.clock.now()
    batch.ports.catalog.attach_batch("batch-1", RUN)
    reason = WorldError("batch.interrupted", "its worker died").record
    catalog.give_back([GivenBack(job.job_id, reason) for job in jobs], RUN, now)
    catalog.claim_jobs({job.job_id: "batch-2" for job in jobs}, now)
    attempts = catalog.open_jobs([(job.dataset_id, job.job_id) for job in jobs[:3]], "run-2", None, now)
    batch.jobs[3:] = [batch.add("away.csv")]
    with pytest.raises(BatchInterrupted, match="1 datasets go on"):
        batch.carry(run="run-3", ports=replace(batch.ports, engine=FailingEngine(batch.ports, failures=9)))
    assert [attempt.job for attempt in attempts if isinstance(attempt, Attempt)] == [catalog.job(job.job_id) for job in jobs[:3]]


def test_a_run_that_is_started_again_takes_only_what_was_not_completed(batch: Batch) -> None:
    good, bad = batch.add("a.csv"), batch.add("empty.csv", "id,name\n")
    batch.carry()
    [again] = batch.carry(run="run-2")
    assert again.dataset_id == bad.dataset_id
    assert len(batch.ports.catalog.jobs_of(good.dataset_id)) == 1
    assert batch.served() == [(good.dataset_id, 3)]


def test_what_became_of_a_job_can_be_read_from_what_it_published(batch: Batch) -> None:
    jobs = [batch.add("a.csv"), batch.add("empty.csv", "id,name\n")]
    done = batch.carry()
    for job, taken in zip(jobs, done, strict=True):
        assert what_was_made(batch.ports.catalog.job(job.job_id), batch.ports) == taken

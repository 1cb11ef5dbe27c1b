"""The checker itself: a good history is read without a complaint, and each way to spoil one is complained of."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from dagster._core.events import DagsterEventType

from metricfoundry_dagster.adapters.catalog.schema import jobs as jobs_table
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Root, Stage
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.ports.runs import JOB_ID_TAG
from metricfoundry_dagster_tests.embedded import embedded_ports, embedded_settings, register, write_source
from metricfoundry_dagster_tests.faults.drop_plan import storm_file
from metricfoundry_dagster_tests.faults.history import DatasetHistory, History, PutIn
from metricfoundry_dagster_tests.faults.judge_history import complaints_about
from metricfoundry_dagster_tests.faults.read_history import read_history

Spoil = Callable[[History], History]


class Lived(NamedTuple):
    """A small instance that lived through two appended and two replaced datasets, and its history."""

    folder: Path
    ports: Ports
    put_in: list[PutIn]
    history: History
    dagster: dg.DagsterInstance

    def read_again(self) -> History:
        return read_history(embedded_settings(self.folder), self.ports, self.dagster)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """Read once; the tests spoil copies. What spoils the state itself puts it back."""
    folder = tmp_path_factory.mktemp("lived")
    ports = embedded_ports(folder)
    with dg.DagsterInstance.ephemeral() as dagster:
        put_in = [_live_through(folder, ports, dagster, number) for number in range(1, 5)]
        yield Lived(folder, ports, put_in, read_history(embedded_settings(folder), ports, dagster), dagster)


def _live_through(folder: Path, ports: Ports, dagster: dg.DagsterInstance, number: int) -> PutIn:
    file = storm_file(number, 0)
    datasource, mode = ("visits", Mode.APPEND) if number < 3 else ("prices", Mode.REPLACE)
    job = register(ports, write_source(folder, f"{number}.csv", file.content), datasource=datasource, mode=mode)
    dagster.add_dynamic_partitions("datasets", [job.dataset_id])
    definitions = build_definitions(settings=embedded_settings(folder), make_ports=lambda: ports)
    dataset_job = definitions.resolve_job_def("dataset_job")
    assert dataset_job.execute_in_process(instance=dagster, partition_key=job.dataset_id, tags={JOB_ID_TAG: job.job_id}).success
    return PutIn(ports.catalog.dataset(job.dataset_id).source_uri, datasource, mode, file.rows, file.checksum)


def _with_first(history: History, change: Callable[[DatasetHistory], DatasetHistory]) -> History:
    """The first appended dataset changed."""
    first = next(each for each in history.datasets if each.dataset.mode is Mode.APPEND)
    return replace(history, datasets=tuple(change(each) if each is first else each for each in history.datasets))


def _jobs(change: Callable[[Job], tuple[Job, ...]]) -> Spoil:
    return lambda history: _with_first(history, lambda each: replace(each, jobs=change(each.jobs[0])))


def _records(stage: Stage, **changes: object) -> Spoil:
    def spoil(each: DatasetHistory) -> DatasetHistory:
        record = replace(each.records[stage], **changes)  # type: ignore[arg-type] # the fields vary with the case
        return replace(each, records={**each.records, stage: record})

    return lambda history: _with_first(history, spoil)


def _manifests(stage: Stage, **changes: int) -> Spoil:
    def spoil(each: DatasetHistory) -> DatasetHistory:
        manifest = each.manifests[stage]
        table = replace(manifest.tables[0], **changes)  # type: ignore[arg-type] # the fields vary with the case
        return replace(each, manifests={**each.manifests, stage: replace(manifest, tables=(table,))})

    return lambda history: _with_first(history, spoil)


def _died(job: Job, attempt: int, code: str = "worker.died") -> Job:
    return replace(job, job_id=f"job-{attempt}", attempt=attempt, state=JobState.FAILED, error=WorldError(code, "").record)


def _dagster(**changes: object) -> Spoil:
    return lambda history: replace(history, dagster=replace(history.dagster, **changes))  # type: ignore[arg-type] # fields vary


def _forget_materialization(history: History) -> History:
    seen = history.dagster.materialized
    fewer = frozenset(sorted(seen[Stage.PROFILE_REPORT])[1:])
    return _dagster(materialized={**seen, Stage.PROFILE_REPORT: fewer})(history)


def _fail_evaluation(history: History) -> History:
    first, *others = sorted(history.dagster.evaluations, key=lambda e: (e.check != "rows_served", e.dataset_id))
    return _dagster(evaluations=frozenset({replace(first, passed=False), *others}))(history)


def _served(change: Callable[[int, int], tuple[int, int]]) -> Spoil:
    def spoil(history: History) -> History:
        first, *others = history.served
        rows, checksum = change(first.rows, first.checksum)
        return replace(history, served=(replace(first, rows=rows, checksum=checksum), *others))

    return spoil


SPOILT: dict[str, tuple[str, Spoil]] = {
    "a dataset is not registered": ("I1", lambda h: replace(h, datasets=h.datasets[1:])),
    "an object became two datasets": (
        "I1",
        lambda h: replace(
            h, datasets=(*h.datasets, replace(h.datasets[0], dataset=replace(h.datasets[0].dataset, dataset_id="x")))
        ),
    ),
    "a dataset came from nowhere": (
        "I1",
        lambda h: _with_first(h, lambda each: replace(each, dataset=replace(each.dataset, source_uri="file:///nowhere"))),
    ),
    "there is no job": ("I2", _jobs(lambda job: ())),
    "a job is left open": ("I2", _jobs(lambda job: (replace(job, state=JobState.PROCESSING, ended_at=None),))),
    "the newest job failed": ("I2", _jobs(lambda job: (_died(job, 2), job))),
    "only a part was done": ("I2", _jobs(lambda job: (replace(job, progress_percent=60),))),
    "an earlier job is left open": ("I2", _jobs(lambda job: (replace(job, attempt=2), replace(job, state=JobState.QUEUED)))),
    "an earlier job was completed too": ("I2", _jobs(lambda job: (replace(job, attempt=2), job))),
    "a job failed for no fault": ("I2", _jobs(lambda job: (replace(job, attempt=2), _died(job, 1, "unexpected")))),
    "attempts fall": ("I2", _jobs(lambda job: (job, _died(job, 2)))),
    "two jobs have one attempt": ("I2", _jobs(lambda job: (job, _died(job, 1)))),
    "a row is gone": ("I3", _served(lambda rows, checksum: (rows - 1, checksum))),
    "one row is doubled for another": ("I3", _served(lambda rows, checksum: (rows, checksum + 1))),
    "all rows are doubled": ("I3", _served(lambda rows, checksum: (2 * rows, 2 * checksum))),
    "a dataset is not served": ("I3", lambda h: replace(h, served=h.served[1:])),
    "a dataset is served twice": ("I3", lambda h: replace(h, served=(*h.served, h.served[0]))),
    "a dataset is served by another name": (
        "I3",
        lambda h: replace(h, served=(*h.served[1:], replace(h.served[0], datasource="x"))),
    ),
    "something else is served": ("I3", lambda h: replace(h, served=(*h.served, replace(h.served[0], dataset_id="x")))),
    "a member is missing": ("I4", lambda h: replace(h, members=h.members[1:])),
    "a member is doubled": ("I4", lambda h: replace(h, members=(*h.members, h.members[0]))),
    "a stranger is a member": ("I4", lambda h: replace(h, members=(*h.members, replace(h.members[0], dataset_id="x")))),
    "a dead attempt is a member": ("I4", lambda h: replace(h, members=(replace(h.members[0], attempt=7), *h.members[1:]))),
    "a stage was not published": ("I5", lambda h: _with_first(h, lambda each: replace(each, records={}))),
    "a dead attempt was published": ("I5", _records(Stage.STAGED_PARQUET, attempt=7)),
    "another job published": ("I5", _records(Stage.VALIDATED_FRAME, job_id="another")),
    "a gate failed": ("I5", _records(Stage.PROFILE_REPORT, passed=False)),
    "a manifest does not balance": ("I5", _manifests(Stage.STAGED_PARQUET, rows_in=1)),
    "rows were put aside": ("I5", _manifests(Stage.VALIDATED_FRAME, rows_in=8, rows_out=7, rows_rejected=1)),
    "Dagster misses a partition": ("I6", _forget_materialization),
    "a check is missing": ("I6", _dagster(evaluations=frozenset())),
    "a check did not pass": ("I6", _fail_evaluation),
    "a run is under way": ("I6", _dagster(unfinished_runs=("a run STARTED",))),
    "half-written files pile up": ("I7", lambda h: replace(h, litter={**h.litter, "half_written_files": 1_000})),
    "sightings pile up": ("I7", lambda h: replace(h, litter={**h.litter, "sightings": 1_000})),
}


def test_a_good_history_is_read_without_a_complaint(lived: Lived) -> None:
    """And all of it is read: nothing holds only because nothing was looked at."""
    history = lived.history
    assert complaints_about(history, lived.put_in) == []
    assert len(history.datasets) == 4
    assert len(history.served) == len(history.members) == 3
    assert {len(partitions) for partitions in history.dagster.materialized.values()} == {4}
    assert len(history.dagster.evaluations) == 4 * 7
    assert list(history.dagster.told.values()) == [1] * 4 * (7 + 5)


@pytest.mark.parametrize("how", SPOILT)
def test_each_way_to_spoil_a_history_is_complained_of(lived: Lived, how: str) -> None:
    """By the rule that it breaks; other rules may complain as well."""
    rule, spoil = SPOILT[how]
    complaints = complaints_about(spoil(lived.history), lived.put_in, kills=1)
    assert {complaint.split()[0] for complaint in complaints} >= {rule}, complaints


def test_a_death_that_a_fault_explains_is_no_complaint(lived: Lived) -> None:
    """As long as a later attempt completed; its attempt is the one that counts everywhere."""
    spoilt = _jobs(lambda job: (job, _died(job, 0), _died(job, 0, "store.unreachable")))(lived.history)
    assert complaints_about(spoilt, lived.put_in, excused={"worker.died", "store.unreachable"}) == []
    assert [complaint[:2] for complaint in complaints_about(spoilt, lived.put_in)] == ["I2"]


def test_an_older_replaced_dataset_must_not_be_served(lived: Lived) -> None:
    """Readers see the one that was registered last."""
    served = next(rows for rows in lived.history.served if rows.datasource == "prices")
    older = next(
        each.name for each in lived.history.datasets if each.dataset.mode is Mode.REPLACE and each.name != served.dataset_id
    )
    spoilt = replace(lived.history, served=(*lived.history.served, replace(served, dataset_id=older)))
    assert [complaint[:2] for complaint in complaints_about(spoilt, lived.put_in)] == ["I3"]


def test_a_row_that_is_lost_from_a_served_file_is_found(lived: Lived) -> None:
    """The rows are asked for by SQL, not taken from what was noted."""
    part = lived.history.datasets[-1].manifests[Stage.VALIDATED_FRAME].files_of("part")[0]
    with lived.ports.store.local(part.root, part.key) as path:
        whole = path.read_bytes()
        table = pq.read_table(path)
        pq.write_table(table.slice(0, table.num_rows - 1), path)
    try:
        complaints = complaints_about(read_again_in_a_new_process(lived), lived.put_in)
    finally:
        with lived.ports.store.local(part.root, part.key) as path:
            path.write_bytes(whole)
    assert part.root is Root.ARTIFACTS
    assert [complaint[:2] for complaint in complaints] == ["I3"]


def test_a_job_that_nobody_ended_is_found(lived: Lived) -> None:
    """In the catalog itself."""
    [(newest, job)] = lived.ports.catalog.datasets(DatasetFilter(limit=1))
    lived.ports.catalog.request_job(newest.dataset_id, lived.ports.clock.now())
    complaints = complaints_about(lived.read_again(), lived.put_in)
    with sa.create_engine(embedded_settings(lived.folder).database_url).begin() as connection:
        connection.execute(sa.delete(jobs_table).where(jobs_table.c.state == JobState.CREATED))
    assert {complaint[:2] for complaint in complaints} >= {"I2"}
    assert job.state is JobState.COMPLETED


@pytest.mark.parametrize("kind", [DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION])
def test_what_a_run_tells_twice_is_found(lived: Lived, kind: DagsterEventType) -> None:
    """In Dagster's storage itself: the same event once more, as by a sensor that did not see that it was told."""
    first = lived.history.datasets[0].jobs[0].run_id
    events = lived.dagster.all_logs(str(first), of_type=kind)
    with dg.DagsterInstance.ephemeral() as spoilt:
        for event in [*events, events[0]]:
            spoilt.handle_new_event(event)
        told = read_history(embedded_settings(lived.folder), lived.ports, spoilt).dagster.told
    assert sorted(told.values())[-2:] == [1, 2]
    complaints = complaints_about(_dagster(told=told)(lived.history), lived.put_in)
    assert [complaint[:2] for complaint in complaints] == ["I6"]


def test_a_materialization_that_was_wiped_is_found(lived: Lived) -> None:
    """In Dagster's storage itself."""
    lived.dagster.wipe_assets([dg.AssetKey(Stage.PROFILE_REPORT.value)])
    assert {complaint[:2] for complaint in complaints_about(lived.read_again(), lived.put_in)} == {"I6"}


def read_again_in_a_new_process(lived: Lived) -> History:
    """As another process would read it: with no file kept open."""
    return read_history(embedded_settings(lived.folder), embedded_ports(lived.folder), lived.dagster)

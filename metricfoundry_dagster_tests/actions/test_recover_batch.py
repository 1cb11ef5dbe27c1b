"""A batch whose worker died: the dataset that was under way is suspected, and the others lose nothing."""

from pathlib import Path

import pytest

from metricfoundry_dagster.actions.cancel import cancel
from metricfoundry_dagster.actions.recover import MAX_DEATHS
from metricfoundry_dagster.actions.recover_batch import BatchRecovery, recover_batch
from metricfoundry_dagster.domain.errors import ConflictError
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.domain.served import Servable
from metricfoundry_dagster.pipeline.flow import publish, take_through
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.runs import RunState
from metricfoundry_dagster_tests.embedded import embedded_ports, progress_of, register, write_source
from metricfoundry_dagster_tests.fakes.memory_runs import MemoryRuns

RUN = "run-1"


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


def batch_of(ports: Ports, folder: Path, count: int) -> list[Job]:
    """So many jobs that were claimed for one batch, whose run has begun."""
    jobs = [register(ports, write_source(folder, f"file{number}.csv")) for number in range(count)]
    ports.catalog.claim_jobs({job.job_id: "batch-1" for job in jobs}, ports.clock.now())
    ports.catalog.attach_batch("batch-1", RUN)
    return jobs


def begin(ports: Ports, jobs: list[Job]) -> list[Attempt]:
    """Open the jobs as the run does for a group."""
    opened = ports.catalog.open_jobs([(job.dataset_id, job.job_id) for job in jobs], RUN, None, ports.clock.now())
    return [each for each in opened if isinstance(each, Attempt)]


def touch(ports: Ports, attempts: list[Attempt]) -> None:
    """Begin the first stage of each."""
    for attempt in attempts:
        progress_of(ports, attempt).report(Stage.RAW_OBJECT, 0.0)


def profile(ports: Ports, attempts: list[Attempt]) -> None:
    """Bring each up to its profile, as far as the catalog can tell."""
    for attempt in attempts:
        ports.catalog.report_progress(attempt.job.job_id, Stage.PROFILE_REPORT, 85)


def recovered(ports: Ports, state: RunState = RunState.FAILED) -> BatchRecovery:
    """Look after the run, which has ended."""
    recovery = recover_batch(ports, RUN, ports.catalog.jobs_of_run(RUN), state)
    assert recovery is not None
    return recovery


def fates(ports: Ports, jobs: list[Job]) -> list[tuple[JobState, int | None, str]]:
    """State and limit of each dataset's newest job, and why the one before ended."""
    found = []
    for job in jobs:
        newest, *earlier = ports.catalog.jobs_of(job.dataset_id)
        error = earlier[0].error if earlier else None
        found.append((newest.state, newest.batch_limit, error.code if error else ""))
    return found


def test_the_one_under_way_goes_alone_and_the_others_in_batches(ports: Ports, tmp_path: Path) -> None:
    """Begun in their order: the last one that was begun was under way; the fourth was opened, the last not even that."""
    jobs = batch_of(ports, tmp_path, 5)
    touch(ports, begin(ports, jobs[:4])[:3])
    recovery = recovered(ports)
    assert (recovery.suspect and recovery.suspect.job_id, recovery.given_back, recovery.ended) == (jobs[2].job_id, 4, 0)
    waiting = JobState.CREATED
    assert fates(ports, jobs) == [
        (waiting, None, "batch.interrupted"),
        (waiting, None, "batch.interrupted"),
        (waiting, 1, "worker.died"),
        (waiting, None, "batch.interrupted"),
        (waiting, None, ""),
    ]
    assert recover_batch(ports, RUN, ports.catalog.jobs_of_run(RUN), RunState.FAILED) is None


def test_when_it_died_while_serving_all_go_on_in_smaller_batches(ports: Ports, tmp_path: Path) -> None:
    jobs = batch_of(ports, tmp_path, 9)
    profile(ports, begin(ports, jobs[:8]))
    assert recovered(ports).suspect is None
    assert {limit for _, limit, _ in fates(ports, jobs)} == {2}


def test_when_it_died_before_it_began_all_go_on_in_smaller_batches(ports: Ports, tmp_path: Path) -> None:
    """Else a batch that can never begin would be tried for ever; each retry is smaller, up to runs of their own."""
    jobs = batch_of(ports, tmp_path, 8)
    assert recovered(ports).suspect is None
    assert fates(ports, jobs) == [(JobState.CREATED, 2, "")] * 8


def test_one_that_is_left_alone_is_the_suspect_wherever_it_died(ports: Ports, tmp_path: Path) -> None:
    [job] = batch_of(ports, tmp_path, 1)
    profile(ports, begin(ports, [job]))
    assert recovered(ports).suspect is not None
    assert fates(ports, [job]) == [(JobState.CREATED, 1, "worker.died")]


def test_a_limit_is_never_forgotten(ports: Ports, tmp_path: Path) -> None:
    """A dataset that goes in batches of two goes on so, whoever else dies meanwhile."""
    jobs = batch_of(ports, tmp_path, 8)
    recovered(ports)
    ports.catalog.claim_jobs({job.job_id: "batch-2" for job in jobs[:2]}, ports.clock.now())
    ports.catalog.attach_batch("batch-2", "run-2")
    named = [(job.dataset_id, job.job_id) for job in jobs[:2]]
    [first, _] = ports.catalog.open_jobs(named, "run-2", None, ports.clock.now())
    assert isinstance(first, Attempt)
    touch(ports, [first])
    recover_batch(ports, "run-2", ports.catalog.jobs_of_run("run-2"), RunState.FAILED)
    assert [limit for _, limit, _ in fates(ports, jobs[:2])] == [1, 2]


def test_what_was_served_is_completed(ports: Ports, tmp_path: Path) -> None:
    """Its worker died between publishing and ending the job."""
    jobs = batch_of(ports, tmp_path, 2)
    attempts = begin(ports, jobs)
    products = take_through(attempts[0], ports, progress_of(ports, attempts[0]))
    assert ports.catalog.job(jobs[0].job_id).state is JobState.COMPLETED
    publish(products[-1], ports)
    ports.catalog.report_progress(jobs[1].job_id, Stage.DRUID_DATASOURCE, 100)
    assert recovered(ports) == BatchRecovery(suspect=None, given_back=0, ended=1)
    assert fates(ports, jobs) == [(JobState.COMPLETED, None, "")] * 2


def test_a_batch_that_a_person_canceled_is_canceled(ports: Ports, tmp_path: Path) -> None:
    jobs = batch_of(ports, tmp_path, 3)
    touch(ports, begin(ports, jobs[:1]))
    assert recovered(ports, RunState.CANCELED).ended == 3
    assert [state for state, _, _ in fates(ports, jobs)] == [JobState.CANCELED] * 3


def test_what_readers_see_is_not_canceled(ports: Ports, tmp_path: Path) -> None:
    """One is published and its job not ended, one is in its version and not published, one is in none."""
    jobs = batch_of(ports, tmp_path, 3)
    attempts = begin(ports, jobs)
    profile(ports, attempts)
    ports.catalog.report_progress(jobs[0].job_id, Stage.DRUID_DATASOURCE, 100)
    shown = attempts[1].dataset
    ports.catalog.add_versions(
        [Servable(shown.datasource, shown.mode, shown.dataset_id, shown.sequence, 1, ())], shown.created_at
    )
    for job in jobs[:2]:
        with pytest.raises(ConflictError, match=r"job\.not_cancelable"):
            cancel(ports, MemoryRuns(), job.dataset_id)
    assert recovered(ports, RunState.CANCELED) == BatchRecovery(suspect=None, given_back=1, ended=2)
    assert [state for state, _, _ in fates(ports, jobs)] == [JobState.COMPLETED, JobState.CREATED, JobState.CANCELED]


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.WAITING, RunState.UNKNOWN])
def test_a_batch_that_goes_on_is_left_alone(ports: Ports, tmp_path: Path, state: RunState) -> None:
    batch_of(ports, tmp_path, 2)
    assert recover_batch(ports, RUN, ports.catalog.jobs_of_run(RUN), state) is None


def test_deaths_in_batches_and_alone_count_together_and_interruptions_do_not(ports: Ports, tmp_path: Path) -> None:
    """The suspect is left to a person after so many deaths in a row; a neighbour of suspects never is."""
    suspect, neighbour = batch_of(ports, tmp_path, 2)
    for number in range(1, MAX_DEATHS + 1):
        run_id = RUN if number == 1 else f"run-{number}"
        newest = [ports.catalog.jobs_of(job.dataset_id)[0] for job in (neighbour, suspect)]
        if number > 1:
            ports.catalog.claim_jobs({job.job_id: f"batch-{number}" for job in newest}, ports.clock.now())
            ports.catalog.attach_batch(f"batch-{number}", run_id)
        named = [(job.dataset_id, job.job_id) for job in newest]
        opened = ports.catalog.open_jobs(named, run_id, None, ports.clock.now())
        by_number = sorted((each for each in opened if isinstance(each, Attempt)), key=lambda each: each.dataset.sequence)
        touch(ports, [each for each in by_number if each.dataset.dataset_id == suspect.dataset_id])
        recover_batch(ports, run_id, ports.catalog.jobs_of_run(run_id), RunState.FAILED)
    assert [state for state, _, _ in fates(ports, [suspect, neighbour])] == [JobState.FAILED, JobState.CREATED]
    error = ports.catalog.jobs_of(suspect.dataset_id)[0].error
    assert error is not None
    assert "`datasets retry`" in error.hint

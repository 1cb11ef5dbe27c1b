"""Whatever runs, people and sensors do to the jobs of a dataset, in whatever order, some things always hold."""

import uuid

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from metricfoundry_dagster.domain.errors import ConflictError, FencedError
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster_tests.port_contracts.catalog.samples import ERROR, NOON, new_dataset, product

#: Positions in the dataset's list of jobs, and names of runs.
positions = st.integers(0, 3)
run_names = st.sampled_from("abcd")
ended_states = st.sampled_from([state for state in JobState if state.ended])


class JobHistory(RuleBasedStateMachine):
    """One dataset of its own for each example, all in one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.catalog = catalog
        self.prefix = uuid.uuid4().hex
        self.dataset = catalog.register([new_dataset(self.prefix, datasource=f"d_{self.prefix}")], NOON)[0]
        self.seen: dict[str, Job] = {}
        self.opened: list[Attempt] = []

    def job_at(self, position: int) -> Job:
        jobs = self.catalog.jobs_of(self.dataset.dataset_id)
        return jobs[position % len(jobs)]

    def run_id(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    @rule(name=run_names, position=st.none() | positions, parent=st.none() | run_names)
    def a_run_opens_a_job(self, name: str, position: int | None, parent: str | None) -> None:
        job_id = None if position is None else self.job_at(position).job_id
        newest_before = max(job.attempt for job in self.catalog.jobs_of(self.dataset.dataset_id))
        known = self.catalog.jobs_of_run(self.run_id(name))
        parent_run_id = self.run_id(parent) if parent else None
        try:
            attempt = self.catalog.open_job(self.dataset.dataset_id, self.run_id(name), job_id, parent_run_id, NOON)
        except ConflictError:
            return  # which ones are refused, and why, is told in test_job_opening.py
        assert attempt.job.run_id == self.run_id(name)
        if known and known[-1].attempt:
            assert attempt.job == known[-1]
        else:
            assert (attempt.number, attempt.job.state) == (newest_before + 1, JobState.PROCESSING)
            self.opened.append(attempt)

    @rule()
    def a_person_requests_a_job(self) -> None:
        under_way = any(not job.state.ended for job in self.catalog.jobs_of(self.dataset.dataset_id))
        try:
            self.catalog.request_job(self.dataset.dataset_id, NOON)
        except ConflictError:
            assert under_way
        else:
            assert not under_way

    @rule(position=positions)
    def a_sensor_claims(self, position: int) -> None:
        job = self.job_at(position)
        assert self.catalog.claim_job(job.job_id, NOON) == (job.state is JobState.CREATED)

    @rule(position=positions)
    def a_claim_is_given_back(self, position: int) -> None:
        self.catalog.release_job(self.job_at(position).job_id)

    @rule(position=positions, name=run_names)
    def a_run_is_noted(self, position: int, name: str) -> None:
        if not self.catalog.jobs_of_run(self.run_id(name)):
            self.catalog.attach_run(self.job_at(position).job_id, self.run_id(name))

    @rule(position=positions, stage=st.sampled_from(Stage), percent=st.integers(0, 100))
    def progress_is_reported(self, position: int, stage: Stage, percent: int) -> None:
        job = self.job_at(position)
        assert self.catalog.report_progress(job.job_id, stage, percent) is job.state

    @rule(position=positions, state=ended_states)
    def a_job_is_closed(self, position: int, state: JobState) -> None:
        job = self.job_at(position)
        assert self.catalog.close_job(job.job_id, state, ERROR, NOON) != job.state.ended

    @rule(position=positions)
    def a_job_is_replaced(self, position: int) -> None:
        job = self.job_at(position)
        successor = self.catalog.replace_job(job.job_id, ERROR, NOON)
        assert (successor is None) == job.state.ended

    @rule(index=st.integers(0, 5))
    def an_attempt_publishes(self, index: int) -> None:
        if not self.opened:
            return
        attempt = self.opened[index % len(self.opened)]
        allowed = self.catalog.job(attempt.job.job_id).state is JobState.PROCESSING and attempt == self.opened[-1]
        try:
            self.catalog.publish(product(attempt), attempt.job.job_id, NOON)
        except FencedError:
            assert not allowed
        else:
            assert allowed

    @invariant()
    def at_most_one_job_is_under_way(self) -> None:
        assert sum(not job.state.ended for job in self.catalog.jobs_of(self.dataset.dataset_id)) <= 1

    @invariant()
    def every_attempt_is_newer_than_the_one_before(self) -> None:
        numbers = [attempt.number for attempt in self.opened]
        assert numbers == list(range(1, len(numbers) + 1))

    @invariant()
    def no_job_vanishes_comes_back_to_life_or_goes_backwards(self) -> None:
        jobs = {job.job_id: job for job in self.catalog.jobs_of(self.dataset.dataset_id)}
        for job_id, before in self.seen.items():
            after = jobs[job_id]
            assert after == before or not before.state.ended
            assert after.progress_percent >= before.progress_percent
            assert after.attempt >= before.attempt
        self.seen = jobs


def test_jobs_keep_their_promises_in_every_history(catalog: Catalog) -> None:
    class OnThisCatalog(JobHistory):
        def __init__(self) -> None:
            super().__init__(catalog)

    run_state_machine_as_test(OnThisCatalog, settings=settings(max_examples=25, stateful_step_count=20, deadline=None))

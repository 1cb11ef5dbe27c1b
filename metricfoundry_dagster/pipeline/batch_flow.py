"""The flow for many small datasets in one run: each is judged alone, and what costs the same for many is done once.

    carry_batch   takes the datasets in groups: each through the stages up to its profile, then all of a group are
                  published, served, published again and told of, so that a worker that dies loses one group at most

What becomes of one dataset is a `Taken`; nothing about one stops the others. Only the world does, when it is away for
several in a row: then `BatchInterrupted` says so, and all that was not finished is given back to wait for another run.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from metricfoundry_dagster.domain.backoff import backoff_seconds
from metricfoundry_dagster.domain.errors import ErrorRecord, MetricFoundryError, UserError, WorldError, record_of
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.pipeline.flow import (
    SERVERS_AWAY,
    after_failure,
    ending_after,
    give_up_job,
    publish_all,
    refused,
    run_stages,
)
from metricfoundry_dagster.pipeline.job_progress import JobProgress
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.pipeline.serving.serve_dataset import serve_datasets
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import Ending, GivenBack

_Result = TypeVar("_Result")

#: So many datasets in a row that the world did not answer for, and it counts as away.
_AWAY_AFTER = 3
#: After a batch ended early for a reason that may lie in it, its datasets go on in batches of this part of it.
SMALLER_BY = 4
#: A failure to serve many that lies in none of them: while a server is away for hours, they stay together.
_IN_NO_DATASET = {"catalog.unreachable", "dagster.unreachable", "druid.busy", "druid.unreachable", "store.unreachable"}


@dataclass(frozen=True, slots=True)
class BatchPace:
    """How a batch is carried: how many are served together, and how long the world is waited for."""

    group_datasets: int
    world_retries: int
    retry_base_seconds: float
    #: How long the rest is held back when the world is away.
    hold: timedelta


@dataclass(slots=True)
class Taken:
    """What became of one dataset: the products that count, in order, and what stopped it, None while nothing has."""

    dataset_id: str
    job_id: str
    products: list[StageProduct] = field(default_factory=list)
    error: ErrorRecord | None = None
    #: Whether its run began it at all: one that was canceled while it waited has no stage where it stopped.
    is_begun: bool = True

    @property
    def stopped_at(self) -> Stage | None:
        """The stage that did not pass; None for a dataset that was served or never begun."""
        if self.error is None or not self.is_begun:
            return None
        passed = [product for product in self.products if product.gate.passed]
        return list(Stage)[len(passed)] if len(passed) < len(Stage) else None


class BatchInterrupted(Exception):  # noqa: N818 - it says what happened, and is no error of the batch's
    """The world was away; what was not finished was given back."""

    def __init__(self, record: ErrorRecord, given_back: int) -> None:
        super().__init__(f"{record.message} [{record.code}]; {given_back} datasets go on in another run")
        self.record = record
        self.given_back = given_back


def carry_batch(
    members: Sequence[tuple[str, str]],
    run_ids: tuple[str, str | None],
    ports: Ports,
    pace: BatchPace,
    tell: Callable[[Sequence[Taken]], None],
    log: logging.Logger,
) -> list[Taken]:
    """Take datasets, each with the id of its waiting job, through the flow; give what became of those that were begun.

    `run_ids` are the run's own and that of the run it repeats, if any. `tell` is told of each group when it is done.
    Datasets whose job another run carries, or has completed, are passed over.

    Raises:
        BatchInterrupted: the world is away, and the rest was given back.
        WorldError: the catalog is away, so that nothing could be given back: a dead worker leaves as much.
    """
    return _Carrier(run_ids, ports, pace, tell, log).carry(members)


class _Carrier:
    def __init__(
        self,
        run_ids: tuple[str, str | None],
        ports: Ports,
        pace: BatchPace,
        tell: Callable[[Sequence[Taken]], None],
        log: logging.Logger,
    ) -> None:
        self._run_ids = run_ids
        self._ports = ports
        self._pace = pace
        self._tell = tell
        self._log = log
        #: Datasets that the world did not answer for, as long as it may be away for all.
        self._unanswered: list[tuple[Taken, WorldError]] = []
        #: Datasets that are being published or served in one step, so that nobody can say for which of them it failed.
        self._together: list[Taken] = []

    def carry(self, members: Sequence[tuple[str, str]]) -> list[Taken]:
        done: list[Taken] = []
        size = self._pace.group_datasets
        for start in range(0, len(members), size):
            try:
                done += self._carry_group(members[start : start + size])
            except WorldError as error:
                raise self._interrupted(len(members), error) from error
        return done

    def _carry_group(self, members: Sequence[tuple[str, str]]) -> list[Taken]:
        own_run, parent_run = self._run_ids
        now = self._ports.clock.now()
        opened = self._patiently(lambda: self._ports.catalog.open_jobs(members, own_run, parent_run, now))
        group: list[Taken] = []
        begun: list[tuple[Attempt, Taken]] = []
        for (dataset_id, job_id), outcome in zip(members, opened, strict=True):
            if isinstance(outcome, Attempt):
                begun.append((outcome, Taken(dataset_id, outcome.job.job_id)))
                group.append(begun[-1][1])
            elif outcome.code != "job.not_retryable":
                group.append(Taken(dataset_id, job_id, error=outcome.record, is_begun=False))
        for attempt, taken in begun:
            self._take_to_profile(attempt, taken)
        if self._unanswered and len(self._unanswered) == len(begun):
            raise self._unanswered[0][1]
        self._together = [taken for _, taken in begun if taken.error is None]
        self._publish([(attempt, taken, taken.products) for attempt, taken in begun])
        self._settle_unanswered()
        ready = [(attempt, taken) for attempt, taken in begun if taken.error is None]
        # Before anything is served, so that whoever looks after a dead worker sees who was about to be.
        self._close([taken for taken in group if taken.error is not None])
        self._together = [taken for _, taken in ready]
        self._serve(ready)
        away = [taken for taken in self._together if taken.error is not None and taken.error.code in SERVERS_AWAY]
        self._close(self._together, _smaller(len(away)))
        self._together = []
        self._tell(group)
        self._patiently(lambda: self._ports.catalog.mark_told([taken.job_id for taken in group]))
        return group

    def _take_to_profile(self, attempt: Attempt, taken: Taken) -> None:
        """Run all stages before the last; products are not published yet."""
        progress = JobProgress(attempt.job.job_id, self._ports.catalog, self._ports.clock)

        def go_on() -> None:
            for product in run_stages(attempt, self._ports, progress, taken.products, until=Stage.PROFILE_REPORT):
                taken.products.append(product)

        try:
            self._patiently(go_on)
        except WorldError as error:
            self._note_unanswered(taken, error)
            return
        except MetricFoundryError as error:
            taken.error = error.record
        except Exception as error:  # noqa: BLE001 - a bug that one file brings out must not stop the others
            self._log.exception("%s stopped", taken.dataset_id)
            taken.error = record_of(error)
        else:
            taken.error = taken.products[-1].gate.error
        self._settle_unanswered()

    def _note_unanswered(self, taken: Taken, error: WorldError) -> None:
        if error.code not in SERVERS_AWAY:
            taken.error = error.record
            return
        self._unanswered.append((taken, error))
        if len(self._unanswered) >= _AWAY_AFTER:
            raise error

    def _settle_unanswered(self) -> None:
        """The world answered for another dataset, or for all that was published, so it was these alone."""
        for taken, error in self._unanswered:
            taken.error = error.record
        self._unanswered.clear()

    def _publish(self, made: Sequence[tuple[Attempt, Taken, Sequence[StageProduct]]]) -> None:
        """Let products count. What may not count is no product: the dataset was canceled, or begun anew."""
        products = [(attempt, product) for attempt, _, of_dataset in made for product in of_dataset]
        refused = self._patiently(lambda: publish_all(products, self._ports)) if products else {}
        for _, taken, of_dataset in made:
            if (refusal := refused.get(taken.dataset_id)) is not None:
                taken.products = [product for product in taken.products if product not in of_dataset]
                taken.error = refusal.record

    def _serve(self, ready: Sequence[tuple[Attempt, Taken]]) -> None:
        """Serve those that passed all gates, together, and publish what was counted."""
        validated = [(attempt, _product_of(taken, Stage.VALIDATED_FRAME)) for attempt, taken in ready]
        outcomes = self._patiently(lambda: serve_datasets(validated, self._ports)) if validated else []
        served: list[tuple[Attempt, Taken, list[StageProduct]]] = []
        for (attempt, taken), given in zip(ready, outcomes, strict=True):
            outcome = refused(Stage.DRUID_DATASOURCE, attempt, given.record) if isinstance(given, UserError) else given
            if isinstance(outcome, StageProduct):
                taken.products.append(outcome)
                taken.error = outcome.gate.error
                served.append((attempt, taken, [outcome]))
            else:
                taken.error = outcome.record
        self._publish(served)

    def _close(self, group: Sequence[Taken], away_limit: int = 1) -> None:
        """End the jobs. Those that a person canceled, or that another run took over, have ended already.

        One that the world did not answer for is tried again later, in batches of `away_limit` at the most.
        """
        endings: list[Ending] = []
        for taken in group:
            if taken.error is None:
                endings.append(Ending(taken.job_id, JobState.COMPLETED))
            elif taken.error.code in SERVERS_AWAY:
                self._give_up(taken.job_id, taken.error, away_limit)
            else:
                endings.append(ending_after(taken.job_id, taken.error))
        now = self._ports.clock.now()
        if endings:
            self._patiently(lambda: self._ports.catalog.close_jobs(endings, now))

    def _give_up(self, job_id: str, error: ErrorRecord, limit: int) -> None:
        run_id, catalog = self._run_ids[0], self._ports.catalog
        self._patiently(lambda: give_up_job(run_id, catalog.job(job_id), error, self._ports, batch_limit=limit))

    def _patiently(self, act: Callable[[], _Result]) -> _Result:
        """Try again, a bounded number of times, while the world does not answer."""
        for retry_number in range(self._pace.world_retries):
            try:
                return act()
            except WorldError as error:
                if error.code not in SERVERS_AWAY:
                    raise
                wait_seconds = backoff_seconds(retry_number, self._pace.retry_base_seconds)
                self._log.warning("%s; trying again in %.1f seconds", error, wait_seconds)
                time.sleep(wait_seconds)
        return act()

    def _interrupted(self, batch_size: int, error: WorldError) -> BatchInterrupted:
        """Give back all that was not finished. Only those that the failure may lie in count it as theirs."""
        run_id, catalog, now = self._run_ids[0], self._ports.catalog, self._ports.clock.now()
        suspected = self._suspected(batch_size, error)
        reason = WorldError("batch.interrupted", f"the batch ended early: {error.record.message} [{error.code}]").record
        outcomes: list[GivenBack | Ending] = []
        for job in catalog.jobs_of_run(run_id):
            own, limit = suspected.get(job.job_id, (reason, None))
            if own.code in SERVERS_AWAY or (own is not reason and len(suspected) == 1):
                outcomes.append(after_failure(job, own, self._ports, batch_limit=limit, first_hold=self._pace.hold))
            else:
                outcomes.append(GivenBack(job.job_id, reason, limit, now + self._pace.hold))
        catalog.close_jobs([outcome for outcome in outcomes if isinstance(outcome, Ending)], now)
        given_back = catalog.give_back([outcome for outcome in outcomes if isinstance(outcome, GivenBack)], run_id, now)
        return BatchInterrupted(error.record, given_back)

    def _suspected(self, batch_size: int, error: WorldError) -> dict[str, tuple[ErrorRecord, int | None]]:
        """The jobs that the failure may lie in, with their error and how many may go together the next time."""
        if self._together:
            limit = None if error.code in _IN_NO_DATASET else _smaller(len(self._together))
            return {taken.job_id: (error.record, limit) for taken in self._together}
        return {taken.job_id: (own.record, _smaller(batch_size)) for taken, own in self._unanswered}


def what_was_made(job: Job, ports: Ports) -> Taken:
    """What became of a job that has ended, from what its attempt published: for when its worker cannot say so any more."""
    published = [read_product(job.dataset_id, stage, ports) for stage in Stage]
    products = [product for product in published if product is not None and product.attempt == job.attempt]
    return Taken(job.dataset_id, job.job_id, products, job.error, is_begun=job.attempt > 0)


def _smaller(count: int) -> int:
    return max(1, count // SMALLER_BY)


def _product_of(taken: Taken, stage: Stage) -> StageProduct:
    return next(product for product in taken.products if product.stage is stage)


def count_by_code(stopped: Sequence[Taken]) -> Iterator[tuple[str, int]]:
    """How many stopped for which reason, the most frequent first."""
    codes = [taken.error.code for taken in stopped if taken.error is not None]
    for code in sorted(set(codes), key=lambda each: (-codes.count(each), each)):
        yield code, codes.count(code)

"""Gather waiting datasets into runs: small ones that wait together share one, all others get runs of their own. Pure.

A run costs about as much as ten small datasets, so sharing pays as soon as some wait; a lone file is never kept waiting
for company while there is a free worker.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metricfoundry_dagster.ports.catalog import WaitingJob

#: Those that share a run, or one alone.
Company = tuple[WaitingJob, ...]


@dataclass(frozen=True, slots=True)
class BatchRules:
    """What makes a batch. With `max_datasets` 1 there are none."""

    #: So many small datasets must wait; fewer get runs of their own.
    min_datasets: int
    max_datasets: int
    max_bytes: int
    #: Above it a dataset is not small.
    max_dataset_bytes: int
    #: How long small datasets wait for company when every worker is busy anyway.
    max_age: timedelta


def gather(waiting: Sequence[WaitingJob], rules: BatchRules, now: datetime, *, is_busy: bool) -> list[Company]:
    """Say which of the waiting jobs go together, in the order of the oldest of each; the order within is kept.

    A job's `batch_limit` bounds every batch that it is in, and with 1 it goes alone: so the datasets of a batch whose
    worker died go on in smaller ones. `is_busy` says that a run would only wait in the queue: then small datasets that
    are too few are left out until there are enough, or one is older than `max_age`.
    """
    companies: list[Company] = []
    small: dict[int | None, list[WaitingJob]] = defaultdict(list)
    for job in waiting:
        if min(job.batch_limit or rules.max_datasets, rules.max_datasets) < 2 or job.size_bytes > rules.max_dataset_bytes:
            companies.append((job,))
        else:
            small[job.batch_limit].append(job)
    for limit, group in small.items():
        if limit is not None:  # their batch ended early: they have waited long enough
            companies += _cut(group, min(limit, rules.max_datasets), rules.max_bytes)
        elif len(group) >= rules.min_datasets:
            companies += _cut(group, rules.max_datasets, rules.max_bytes)
        elif not is_busy or any(now - job.created_at >= rules.max_age for job in group):
            companies += ((job,) for job in group)
    place = {job.job_id: position for position, job in enumerate(waiting)}
    return sorted(companies, key=lambda company: place[company[0].job_id])


def _cut(group: Sequence[WaitingJob], max_datasets: int, max_bytes: int) -> Iterator[Company]:
    """Batches of about the same number of datasets, none above the bounds."""
    batches = -(-len(group) // max_datasets)
    even = -(-len(group) // batches)
    together: list[WaitingJob] = []
    size_bytes = 0
    for job in group:
        if together and (len(together) == even or size_bytes + job.size_bytes > max_bytes):
            yield tuple(together)
            together, size_bytes = [], 0
        together.append(job)
        size_bytes += job.size_bytes
    yield tuple(together)

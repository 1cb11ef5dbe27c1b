"""What is about to be done to a datasource in an engine of its own, noted in the catalog before the engine is told.

An engine such as Druid does its work by itself, whether or not the process that asked for it lives on to hear of it.
What was announced can be found, ended and undone by whoever comes next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from metricfoundry_dagster.domain.errors import MetricFoundryError

#: A dataset's id and the number of its attempt.
Member = tuple[str, int]


@dataclass(frozen=True, slots=True)
class AnnouncedTask:
    """One task that may be posted: how many rows it must take in, and how many of those it reads it must leave out."""

    task_id: str
    purpose: Literal["put in", "take out"]
    rows: int
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Announcement:
    """The one announcement that a datasource may have at a time.

    `members` are the datasets that are about to be served, none when a person goes back to the version
    `target_number`. `tasks` are all that may ever be posted for it; those that put rows in are noted all at once.
    `segments_before` is what the engine used before, by name of the table; None until it was looked up, and nothing
    is posted before that. `revision` grows with each change. Whoever has no job that could be asked for is at work
    until `valid_until`.
    """

    announcement_id: str
    datasource: str
    revision: int
    members: tuple[Member, ...]
    target_number: int | None
    tasks: tuple[AnnouncedTask, ...]
    segments_before: Mapping[str, tuple[str, ...]] | None
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Outlook:
    """What `add_versions` would make of a servable now: the version's number and whether it were current, or an error.

    `is_new` when no version came with this attempt yet.
    """

    number: int | None
    current: bool
    is_new: bool
    error: MetricFoundryError | None = None


@dataclass(frozen=True, slots=True)
class Announced:
    """The answer to an announcement: one's own that stands now, or another one that is in the way, or none is needed.

    `outlooks` stand in the order of the servables; they hold as long as one's own announcement stands.
    """

    own: Announcement | None
    in_the_way: Announcement | None
    outlooks: tuple[Outlook, ...]

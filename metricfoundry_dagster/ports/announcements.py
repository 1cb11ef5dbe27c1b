"""Announcements: how writers of one datasource take turns, and how what a dead one began is found."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from metricfoundry_dagster.domain.announcements import Announced, AnnouncedTask, Announcement, Member
from metricfoundry_dagster.domain.served import Servable, Version


class Announcements(Protocol):
    """At most one announcement per datasource. Every method is one transaction."""

    def announce(self, servables: Sequence[Servable], now: datetime, valid_until: datetime) -> Announced:
        """Announce that datasets of one datasource are about to be served: all that were not served before.

        Each is judged as `add_versions` would, without a trace. The very same announcement made again is the one that
        stands already. When another one stands, nothing is announced and it is given as in the way; so is one with a
        member in common even when nothing is to be announced.
        """

    def announce_rollback(self, datasource: str, valid_until: datetime) -> Announced:
        """Announce that a person goes back to the version before. Raises as `Versions.step_back`; outlooks are empty."""

    def announcement(self, datasource: str) -> Announcement | None:
        """The one that stands."""

    def all_announcements(self) -> list[Announcement]:
        """All that stand, by datasource."""

    def note(
        self,
        announcement: Announcement,
        *,
        tasks: Sequence[AnnouncedTask] = (),
        segments_before: Mapping[str, Collection[str]] | None = None,
    ) -> Announcement:
        """Note more about an announcement that stands, and give it as it is now; tasks that are noted already stay once.

        Raises:
            FencedError: `attempt.fenced` when it stands no more: somebody took over what it was for.
        """

    def renew(self, announcement: Announcement, valid_until: datetime) -> None:
        """Let an announcement be valid for longer; its revision stays. Without effect when it stands no more."""

    def stands(self, announcement: Announcement) -> bool:
        """Whether it stands still."""

    def is_at_work(self, announcement: Announcement, now: datetime) -> bool:
        """Whether who made it can still go on: for any member the attempt is the current one and its job processing.

        A batch goes on when one of its datasets is canceled. Datasets that are not registered, and a rollback, count as
        at work for as long as the announcement is valid.
        """

    def recorded(self, announcement: Announcement) -> frozenset[Member]:
        """The members with which versions came, so that nothing is left to be undone of them."""

    def withdraw(self, announcement: Announcement) -> bool:
        """Take an announcement back; False when it was changed or withdrawn since it was read."""

    def conclude_rollback(self, announcement: Announcement) -> Version:
        """Move the pointer to the version that a rollback leads to, and withdraw its announcement: both or neither.

        Raises:
            FencedError: `attempt.fenced` when it stands no more.
        """

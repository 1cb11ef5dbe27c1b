"""Taking turns at a datasource: one's own announcement is made as soon as no other stands in the way."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from metricfoundry_dagster.adapters.druid_parts import DruidParts, pauses
from metricfoundry_dagster.adapters.druid_settling import settle
from metricfoundry_dagster.domain.announcements import Announced, Announcement, Member
from metricfoundry_dagster.domain.errors import FencedError, MetricFoundryError, WorldError
from metricfoundry_dagster.domain.served import Servable

#: After these Druid may still be doing what it was told: the announcement stays for the next try, or for others to settle.
_LEFT_STANDING = frozenset({"druid.unreachable", "druid.not_loaded", "catalog.unreachable"})


def announce(parts: DruidParts, servables: Sequence[Servable]) -> Announced:
    """Announce that datasets of one datasource are to be served, waiting for others and settling what dead ones left.

    Raises:
        WorldError: `druid.busy` when another writer does not come to an end; or as the servers'.
    """
    mine = frozenset((servable.dataset_id, servable.attempt) for servable in servables)
    return _in_turn(parts, lambda: parts.catalog.announce(servables, parts.clock.now(), _valid_until(parts)), mine)


def announce_rollback(parts: DruidParts, datasource: str) -> Announced:
    """Announce a rollback. Raises as `announce` and `ServingEngine.rollback`."""
    return _in_turn(parts, lambda: parts.catalog.announce_rollback(datasource, _leased_until(parts)), frozenset())


@contextmanager
def cleared_up(parts: DruidParts, announcement: Announcement, *, always: bool = False) -> Iterator[None]:
    """After an error that ends the work, settle what was announced at once, as far as Druid lets us.

    When the process is merely told to end while its jobs go on, and when nobody can know what Druid does, everything
    stays as it is: the next try of the same attempt goes on from there. With `always` there is no next try.
    """
    try:
        yield
    except MetricFoundryError as error:
        if always or error.code not in _LEFT_STANDING:
            _settle_quietly(parts, announcement)
        raise
    except BaseException:
        with suppress(MetricFoundryError):
            if always or not parts.catalog.is_at_work(announcement, parts.clock.now()):
                _settle_quietly(parts, announcement)
        raise


@contextmanager
def kept_valid(parts: DruidParts, announcement: Announcement) -> Iterator[None]:
    """Keep a rollback at work for as long as this process lives: it has no job that others could ask for."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(parts.timeouts.lease_seconds / 3):
            with suppress(MetricFoundryError):  # who cannot renew it is fenced at the end, or reaches the catalog in time
                parts.catalog.renew(announcement, _leased_until(parts))

    keeper = threading.Thread(target=keep, name="rollback-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def _in_turn(parts: DruidParts, try_once: Callable[[], Announced], mine: frozenset[Member]) -> Announced:
    deadline = time.monotonic() + parts.timeouts.task_seconds + parts.timeouts.load_seconds
    for pause in pauses(0.1, 2.0):
        announced = try_once()
        other = announced.in_the_way
        if other is None:
            return announced
        if not mine.isdisjoint(other.members) or not parts.catalog.is_at_work(other, parts.clock.now()):
            settle(parts, other)
        elif time.monotonic() > deadline:
            raise WorldError("druid.busy", f"another writer has been at {other.datasource} all the time")
        else:
            time.sleep(pause)
    raise AssertionError("pauses never end")


def _valid_until(parts: DruidParts) -> datetime:
    return parts.clock.now() + timedelta(seconds=parts.timeouts.task_seconds + 2 * parts.timeouts.load_seconds)


def _leased_until(parts: DruidParts) -> datetime:
    return parts.clock.now() + timedelta(seconds=parts.timeouts.lease_seconds)


def _settle_quietly(parts: DruidParts, announcement: Announcement) -> None:
    """The error that brought us here is the one to show; what could not be settled now is settled by the next."""
    with suppress(WorldError, FencedError):
        settle(parts, parts.catalog.announcement(announcement.datasource) or announcement)

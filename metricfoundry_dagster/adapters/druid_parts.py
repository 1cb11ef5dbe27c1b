"""What a Druid engine is made of, handed to its modules as one value, and the bounds on how long anything takes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from metricfoundry_dagster.adapters.druid_http import DruidAccess, DruidHttp
from metricfoundry_dagster.adapters.druid_overlord import DruidOverlord
from metricfoundry_dagster.adapters.druid_segments import DruidSegments
from metricfoundry_dagster.adapters.druid_sql import DruidSql
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.ports.announcements import Announcements
from metricfoundry_dagster.ports.catalog import Versions
from metricfoundry_dagster.ports.clock import Clock
from metricfoundry_dagster.ports.object_store import ObjectStore


class DruidCatalog(Announcements, Versions, Protocol):
    """What of the catalog serving in Druid needs."""


@dataclass(frozen=True, slots=True)
class DruidTimeouts:
    """How long a task may take, and how long it may take until what it published can be queried, or is gone."""

    task_seconds: float = 3_600.0
    load_seconds: float = 300.0
    query_seconds: float = 60.0
    #: Until a task that is shut down has ended.
    end_seconds: float = 120.0
    #: How long a rollback counts as at work after its process last said so; it says so three times as often.
    lease_seconds: float = 60.0
    #: For what many abandoned datasources are settled in; after that no other one is begun.
    settle_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class DruidAddresses:
    """Where Druid's servers answer; a Router answers for all three."""

    overlord_url: str
    broker_url: str
    coordinator_url: str


@dataclass(frozen=True, slots=True)
class DruidParts:
    """The servers, the catalog and the store."""

    overlord: DruidOverlord
    segments: DruidSegments
    sql: DruidSql
    catalog: DruidCatalog
    store: ObjectStore
    clock: Clock
    timeouts: DruidTimeouts


def druid_parts(
    addresses: DruidAddresses,
    access: DruidAccess,
    timeouts: DruidTimeouts,
    *,
    catalog: DruidCatalog,
    store: ObjectStore,
    clock: Clock,
) -> DruidParts:
    """Put the parts together; nothing is connected to yet."""
    overlord = DruidHttp(addresses.overlord_url, access)
    broker = DruidHttp(addresses.broker_url, access)
    coordinator = DruidHttp(addresses.coordinator_url, access)
    return DruidParts(
        overlord=DruidOverlord(overlord),
        segments=DruidSegments(coordinator, overlord, broker),
        sql=DruidSql(broker, timeout_seconds=timeouts.query_seconds),
        catalog=catalog,
        store=store,
        clock=clock,
        timeouts=timeouts,
    )


def pauses(first_seconds: float, longest_seconds: float) -> Iterator[float]:
    """Seconds to wait between looks, ever longer up to a bound."""
    seconds = first_seconds
    while True:
        yield seconds
        seconds = min(seconds * 1.5, longest_seconds)


def wait_until(holds: Callable[[], str | None], timeout_seconds: float) -> None:
    """Look until nothing is missing; `holds` gives None then, and else what is missing, in words.

    Raises:
        WorldError: `druid.not_loaded`, with what is missing.
    """
    deadline = time.monotonic() + timeout_seconds
    for pause in pauses(0.1, 1.0):
        missing = holds()
        if missing is None:
            return
        if time.monotonic() > deadline:
            raise WorldError("druid.not_loaded", f"after {timeout_seconds:g} seconds {missing}")
        time.sleep(pause)

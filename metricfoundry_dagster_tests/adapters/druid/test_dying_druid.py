"""Druid's own processes die while tasks run: the Overlord in the middle of being asked, the Indexer with the task in it."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.servers.stack import Stack
from metricfoundry_dagster.adapters.druid_engine import DruidEngine
from metricfoundry_dagster.adapters.druid_parts import DruidParts
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.served import Servable
from metricfoundry_dagster_tests.adapters.druid.conftest import OnDruid
from metricfoundry_dagster_tests.fakes.memory_druid import Watched
from metricfoundry_dagster_tests.servers.druid import Druid
from metricfoundry_dagster_tests.servers.druid_serving import parts_on, unused_name
from metricfoundry_dagster_tests.servers.minio import Minio
from metricfoundry_dagster_tests.servers.session_stack import require

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def serve_with(parts: DruidParts, servable: Servable, when: str, strike: Callable[[], object]) -> None:
    """Serve, and strike once before the first such call is made; errors of the world are tried again, as a run does."""
    struck: list[bool] = []

    def hook(name: str) -> None:
        if name == when and not struck:
            struck.append(True)
            strike()

    overlord: Any = Watched(parts.overlord, hook)
    engine = DruidEngine(replace(parts, overlord=overlord))
    for _ in range(3):
        with suppress(WorldError):
            engine.serve(servable)
            return
    engine.serve(servable)


def test_servers_of_druid_may_be_killed_while_they_work(stack: Stack, tmp_path: Path) -> None:
    """At the end each dataset is there exactly once, though a task died and replies were lost."""
    require("druid")
    stack.up(["druid"])
    druid, minio = Druid(stack.site), Minio(stack.site)
    with parts_on(druid, minio, tmp_path) as parts:
        on = OnDruid(parts, unused_name())
        on.engine.serve(on.servable(1, 1, mode=Mode.APPEND))
        for sequence, server in ((2, "coordinator"), (3, "indexer")):
            back = threading.Thread(target=stack.start, args=(server,))

            def strike(server: str = server, back: threading.Thread = back) -> None:
                stack.kill(server)
                back.start()

            serve_with(parts, on.servable(sequence, sequence, mode=Mode.APPEND), "state", strike)
            back.join()
        assert on.numbers() == [1, 2, 3]
        assert parts.catalog.announcement(on.name) is None

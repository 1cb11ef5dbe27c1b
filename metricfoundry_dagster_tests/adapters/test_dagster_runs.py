"""Runs go to the Dagster of this home, and to no other that happens to listen."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from metricfoundry_dagster.adapters.dagster_runs import DagsterRuns
from metricfoundry_dagster_tests.fakes.web_server import WebServer, web_server


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def note_up(home: Path, url: str, *, started: float | None = None) -> None:
    """Leave the record of an `up` whose process is this one, or one that began at another time."""
    begun = psutil.Process().create_time() if started is None else started
    (home / "up.json").write_text(json.dumps({"pid": os.getpid(), "started": begun, "token": "t", "url": url}))


def runs_of(home: Path, url: str | None = None) -> DagsterRuns:
    return DagsterRuns(url=url, home=home, max_concurrent_runs=2)


def test_a_running_up_of_this_home_is_used(tmp_path: Path, server: WebServer) -> None:
    runs = runs_of(tmp_path)
    assert (runs.url, runs.is_answering()) == (None, False)
    note_up(tmp_path, server.url)
    assert (runs.url, runs.is_answering()) == (server.url, True)


def test_what_listens_where_a_killed_up_was_is_not_ours(tmp_path: Path, server: WebServer) -> None:
    note_up(tmp_path, server.url, started=psutil.Process().create_time() - 60)
    assert (runs_of(tmp_path).url, runs_of(tmp_path).is_answering()) == (None, False)


@pytest.mark.parametrize("record", ["", "[]", '{"url": "http://127.0.0.1:1"}', '{"pid": -1, "started": 0, "url": "x"}'])
def test_a_record_that_cannot_be_read_names_no_server(tmp_path: Path, record: str) -> None:
    (tmp_path / "up.json").write_text(record)
    assert runs_of(tmp_path).url is None


def test_a_server_that_was_named_wins(tmp_path: Path, server: WebServer) -> None:
    note_up(tmp_path, "http://127.0.0.1:1")
    runs = runs_of(tmp_path, f"{server.url}/")
    assert (runs.url, runs.is_answering()) == (server.url, True)

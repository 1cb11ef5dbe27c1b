"""Keeping alive: what ends is started again, unless it cannot come up at all."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metricfoundry_dagster.cli.supervise import Supervisor, _Part
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster_tests.embedded import embedded_settings

_ENDS_AT_ONCE = [sys.executable, "-S", "-c", "pass"]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """One with a part that ends as soon as it has begun."""
    supervisor = Supervisor(embedded_settings(tmp_path), port=0)
    supervisor._parts = [_Part("brief", _ENDS_AT_ONCE)]
    supervisor._spawn(supervisor._parts[0])
    yield supervisor
    for part in supervisor._parts:
        assert part.process is not None
        part.process.wait()


def let_it_end(supervisor: Supervisor) -> _Part:
    """See the part ended, and the supervisor look after it."""
    [part] = supervisor._parts
    assert part.process is not None
    part.process.wait()
    supervisor.keep_alive()
    return part


def test_what_never_comes_up_is_given_up_with_the_place_of_its_log(supervisor: Supervisor) -> None:
    """After ten tries."""
    for _ in range(10):
        let_it_end(supervisor)
    with pytest.raises(WorldError, match=r"brief ended 11 times; see .*brief\.log"):
        let_it_end(supervisor)


def test_what_was_up_each_time_is_started_again_however_often_it_ends(supervisor: Supervisor) -> None:
    """A daemon that is killed now and then, for weeks, is no daemon that cannot come up."""
    for _ in range(30):
        supervisor._parts[0].started_at -= 3_600
        assert let_it_end(supervisor).restarts == 1

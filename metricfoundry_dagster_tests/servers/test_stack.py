"""The servers do as tests and developers count on: they keep their data and addresses, and they go when they are to go."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.servers.locations import bucket_names
from deploy.servers.run_minio import s3_client
from deploy.servers.run_postgresql import execute
from deploy.servers.run_stack import temporary_stack
from deploy.servers.stack import SERVERS, Stack
from metricfoundry_dagster_tests.servers.session_stack import require

pytestmark = pytest.mark.servers
#: The last one is how Java speaks of the first.
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
TWO = ("postgresql", "minio")


@pytest.fixture(scope="module")
def stack_of_two() -> Iterator[Stack]:
    """PostgreSQL and MinIO in a stack of this file's own."""
    require(*TWO)
    with temporary_stack() as stack:
        yield stack


@pytest.fixture
def two(stack_of_two: Stack) -> Stack:
    """The same, both running whatever the test before did to them."""
    stack_of_two.up(TWO)
    return stack_of_two


def test_data_and_addresses_outlive_a_stop_and_a_start(two: Stack) -> None:
    execute(two.site, "CREATE TABLE kept (number integer)")
    s3_client(two.site).put_object(Bucket="mf-uploads", Key="kept ä.csv", Body=b"a\n1\n")
    before = dict(two.site.ports), dict(two.site.secrets)
    two.down()
    again = Stack(two.folder, is_durable=False)
    assert (dict(again.site.ports), dict(again.site.secrets)) == before
    again.up(TWO)
    execute(again.site, "INSERT INTO kept VALUES (1)")
    assert s3_client(again.site).get_object(Bucket="mf-uploads", Key="kept ä.csv")["Body"].read() == b"a\n1\n"
    again.down()


def test_the_buckets_are_there_from_the_start(two: Stack) -> None:
    there = {bucket["Name"] for bucket in s3_client(two.site).list_buckets()["Buckets"]}
    assert there == set(bucket_names())
    assert len(there) == 4


@pytest.mark.parametrize("name", TWO)
def test_a_killed_server_comes_back_alone_at_its_old_address(two: Stack, name: str) -> None:
    [other] = set(TWO) - {name}
    killed, spared = two.pid(name), two.pid(other)
    two.kill(name)
    assert (two.pid(name), two.is_healthy(name)) == (None, False)
    two.start(name)
    assert two.is_healthy(name)
    assert two.pid(name) not in {None, killed}
    assert two.pid(other) == spared


def test_a_server_that_was_killed_from_outside_is_seen_and_started_again(two: Stack) -> None:
    process = psutil.Process(two.pid("minio"))
    process.kill()
    process.wait()
    assert two.pid("minio") is None
    two.start("minio")
    assert two.is_healthy("minio")


def test_an_immediate_stop_of_postgresql_loses_nothing_that_was_committed(two: Stack) -> None:
    execute(two.site, "CREATE TABLE committed (number integer)")
    assert two.stop("postgresql", mode="immediate")
    two.start("postgresql")
    execute(two.site, "INSERT INTO committed VALUES (1)")


def test_what_is_remembered_can_be_read_by_its_owner_alone(two: Stack) -> None:
    assert (two.folder / "stack.json").stat().st_mode & 0o077 == 0
    for path in two.folder.iterdir():
        assert path.is_file() or path.stat().st_mode & 0o077 == 0, path
    assert not any(secret in log.read_text() for secret in two.site.secrets.values() for log in (two.folder / "logs").iterdir())


def test_everything_listens_on_the_loopback_interface_only(two: Stack) -> None:
    assert all(_listening(two, name) for name in TWO)
    assert {address for name in TWO for address in _listening(two, name)} <= LOOPBACK


@pytest.mark.timeout(900)  # Java starts seven times, which a busy machine takes its time for
def test_druid_starts_survives_kills_and_goes_without_a_trace(stack: Stack) -> None:
    require("druid")
    stack.up(["druid"])
    druid = [name for name in SERVERS if name != "postgresql"]
    assert [name for name in druid if not stack.is_healthy(name)] == []
    assert {address for name in druid for address in _listening(stack, name)} <= LOOPBACK
    before = {name: stack.pid(name) for name in druid}
    for name in ("indexer", "coordinator"):
        stack.kill(name)
    for name in ("coordinator", "indexer"):
        stack.start(name)
    assert [name for name in druid if not stack.is_healthy(name)] == []
    assert {name for name in druid if stack.pid(name) != before[name]} == {"indexer", "coordinator"}
    stack.down()
    assert [name for name in SERVERS if stack.pid(name)] == []
    assert _processes_in(stack.folder) == []


def _listening(stack: Stack, name: str) -> set[str]:
    """The addresses at which a server takes connections."""
    connections = psutil.Process(stack.pid(name)).net_connections()
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


def _processes_in(folder: Path) -> list[psutil.Process]:
    """Whoever works in the directory, but the process that watches over its owner."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()) and "deploy.servers.watch_owner" not in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found

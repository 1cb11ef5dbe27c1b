"""Who has the servers, has them alone; and when he goes, however he goes, they go too."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.servers.build_minio import MINIO_VERSION
from deploy.servers.errors import StackInUseError
from deploy.servers.locations import ROOT
from deploy.servers.record import read_record
from deploy.servers.run_stack import held, owned_stack
from deploy.servers.stack import Stack
from metricfoundry_dagster_tests.servers.session_stack import require

_TIMEOUT_SECONDS = 60
#: Runs PostgreSQL in a directory until it is killed.
_OWNER = """
import sys, time
from pathlib import Path
from deploy.servers.run_stack import owned_stack
with owned_stack(Path(sys.argv[1]), is_temporary=True) as stack:
    stack.up(["postgresql"])
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that PostgreSQL can enter, which those of pytest are not for everybody."""
    path = Path(tempfile.mkdtemp(prefix="metricfoundry-servers-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def run_servers(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command of `python -m deploy.servers`."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.servers", *words, "--dir", folder],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )


@pytest.mark.servers
def test_the_servers_of_a_killed_owner_are_stopped(folder: Path) -> None:
    require("postgresql")
    with _running("-c", _OWNER, str(folder)) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        server = read_record(folder).processes["postgresql"]
        owner.kill()
        _wait_until(lambda: server.find() is None)
        _wait_until(lambda: not folder.exists())


@pytest.mark.servers
def test_up_prints_settings_and_ends_all_at_ctrl_c(folder: Path) -> None:
    require("postgresql")
    with _running("-m", "deploy.servers", "up", "--dir", str(folder), "--only", "postgresql") as up:
        assert up.stdout is not None
        lines = [up.stdout.readline()]
        while not lines[-1].startswith("# up after"):
            assert lines[-1], "it ended early"
            lines.append(up.stdout.readline())
        assert f"export METRICFOUNDRY_DATABASE_URL={_database_url(folder)}\n" in lines
        assert run_servers(folder, "start").returncode == 1  # they have an owner
        server = read_record(folder).processes["postgresql"]
        up.send_signal(signal.SIGINT)
        assert up.wait(_TIMEOUT_SECONDS) == 0
        assert server.find() is None


@pytest.mark.servers
def test_detached_servers_stay_until_they_are_stopped(folder: Path) -> None:
    require("postgresql")
    started = run_servers(folder, "start", "--only", "postgresql")
    assert started.returncode == 0, started.stderr
    assert run_servers(folder, "env").stdout == started.stdout
    states = {line.split()[0]: line.split()[1] for line in run_servers(folder, "status").stdout.splitlines()}
    assert (states["postgresql"], states["minio"]) == ("healthy", "stopped")
    server = read_record(folder).processes["postgresql"]
    assert run_servers(folder, "stop").returncode == 0
    assert server.find() is None


@pytest.mark.servers
def test_stop_tells_the_owner_to_end(folder: Path) -> None:
    require("postgresql")
    with _running("-m", "deploy.servers", "up", "--dir", str(folder), "--only", "postgresql") as up:
        _wait_until(lambda: "postgresql" in read_record(folder).processes)
        assert run_servers(folder, "stop").returncode == 0
        up.wait(_TIMEOUT_SECONDS)
        assert read_record(folder).processes == {}


def test_a_directory_has_one_owner_at_a_time(folder: Path) -> None:
    with held(folder), pytest.raises(StackInUseError, match=str(folder)), held(folder):
        pass
    with held(folder):
        pass


def test_a_temporary_stack_is_gone_afterwards_with_its_watch(folder: Path) -> None:
    others = psutil.Process().children()
    with owned_stack(folder, is_temporary=True):
        [watch] = set(psutil.Process().children()).difference(others)
        assert "deploy.servers.watch_owner" in watch.cmdline()
    assert not folder.exists()
    assert not watch.is_running()


def test_looking_at_a_stack_changes_nothing(folder: Path) -> None:
    Stack(folder)
    before = (folder / "stack.json").stat().st_mtime_ns, (folder / "stack.json").read_text()
    assert run_servers(folder, "status").returncode == 0
    assert ((folder / "stack.json").stat().st_mtime_ns, (folder / "stack.json").read_text()) == before


def test_a_directory_without_servers_has_no_state_to_tell(folder: Path) -> None:
    asked = run_servers(folder / "nothing", "status")
    assert (asked.returncode, asked.stderr) == (1, f"there are no servers in {folder}/nothing\n")
    assert not (folder / "nothing").exists()


def test_a_missing_program_is_named_with_the_way_to_get_it(folder: Path) -> None:
    (folder / "cache" / f"minio-{MINIO_VERSION}").mkdir(parents=True)
    environment = {"PATH": str(folder), "JAVA_HOME": "", "METRICFOUNDRY_SERVERS_CACHE": str(folder / "cache")}
    built = run_servers(folder, "build", "--only", "druid", **environment)
    assert built.returncode == 1
    assert built.stderr.startswith("druid cannot be had: java is missing or too old. Druid needs Java 17 or newer: install")


def _database_url(folder: Path) -> str:
    record = read_record(folder)
    return f"postgresql://metricfoundry:{record.secrets['postgresql']}@127.0.0.1:{record.ports['postgresql']}/metricfoundry"


def _running(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)

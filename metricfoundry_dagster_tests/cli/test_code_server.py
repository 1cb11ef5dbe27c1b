import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from metricfoundry_dagster.cli.code_server import CodeServer

#: A process with one child, both waiting.
_WITH_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CodeServer]:
    home = tmp_path / ("a-rather-long-name-of-a-home" * 5)
    home.mkdir()
    server = CodeServer(home)
    yield server
    server.clear_away()


def socket_of(workspace_path: Path) -> str:
    [location] = yaml.safe_load(workspace_path.read_text())["load_from"]
    return str(location["grpc_server"]["socket"])


def test_the_socket_of_a_deep_home_fits_and_is_ours_alone(server: CodeServer) -> None:
    path = socket_of(server.make_room())
    assert len(os.fsencode(path)) < 108
    assert Path(path).parent.stat().st_mode & 0o077 == 0


def test_it_listens_when_somebody_answers_and_leaves_nothing_behind(server: CodeServer) -> None:
    path = socket_of(server.make_room())
    assert not server.is_listening()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert server.is_listening()
    server.clear_away()
    assert not Path(path).parent.exists()


def test_a_server_whose_child_died_has_lost_its_code(server: CodeServer) -> None:
    with subprocess.Popen([sys.executable, "-c", _WITH_CHILD], stdin=subprocess.PIPE) as process:
        assert not server.has_lost_its_code(process.pid), "it has not had any yet"
        while not psutil.Process(process.pid).children():
            time.sleep(0.01)
        assert not server.has_lost_its_code(process.pid)
        process.send_signal(signal.SIGSTOP)
        [child] = psutil.Process(process.pid).children()
        child.kill()
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert server.has_lost_its_code(process.pid)
        process.kill()


def test_a_server_that_is_gone_has_nothing_to_lose(server: CodeServer) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert not server.has_lost_its_code(process.pid)

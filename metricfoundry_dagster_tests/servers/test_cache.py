"""What is built is built once, whole or not at all; ports are such that a killed server finds its own again."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.servers.cache import built, is_built
from deploy.servers.choose_ports import choose_port, is_free


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("METRICFOUNDRY_SERVERS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_many_who_ask_at_once_have_it_built_once() -> None:
    times: list[Path] = []

    def build(folder: Path) -> None:
        times.append(folder)
        (folder / "program").write_text("content")

    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: built("thing-1", build), range(8)))
    assert len(times) == 1
    assert [(folder / "program").read_text() for folder in folders] == ["content"]


def test_what_failed_leaves_nothing_and_is_tried_again(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        built("thing-1", fail)
    assert not is_built("thing-1")
    assert [path.name for path in cache.iterdir()] == ["thing-1.lock"]
    assert list(built("thing-1", lambda folder: (folder / "whole").touch()).iterdir()) == [cache / "thing-1" / "whole"]


def test_what_a_killed_builder_left_is_cleared_away(cache: Path) -> None:
    (cache / "thing-1.part").mkdir(parents=True)
    (cache / "thing-1.part" / "half").touch()
    assert list(built("thing-1", lambda _: None).iterdir()) == []


def test_a_chosen_port_is_free_and_none_of_those_for_outgoing_connections() -> None:
    ports = {choose_port(()) for _ in range(50)}
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < first_outgoing and is_free(port) for port in ports)


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", choose_port(())))
        listener.listen()
        assert not is_free(listener.getsockname()[1])

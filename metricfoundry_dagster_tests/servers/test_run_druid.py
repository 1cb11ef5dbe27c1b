"""How Druid's processes are started."""

import os
from pathlib import Path

import pytest

from deploy.servers.build_druid import class_archives, druid_jars
from deploy.servers.find_programs import find_java
from deploy.servers.run_druid import BROKER, ZOOKEEPER
from deploy.servers.server import Server
from deploy.servers.stack import Stack
from metricfoundry_dagster_tests.servers.session_stack import require


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Druid in a cache without archives of classes; where archives would lie."""
    require("druid")
    real = druid_jars().lib.parent
    monkeypatch.setenv("METRICFOUNDRY_SERVERS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / real.name).symlink_to(real)
    return class_archives(find_java())


def options(stack: Stack, server: Server) -> list[str]:
    return [str(word) for word in server.prepare(stack.site).command]


def test_archives_of_classes_are_used_where_they_are(jars: Path, tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack")
    assert not any("Archive" in option for option in options(stack, BROKER))
    jars.mkdir()
    (jars / "broker.jsa").touch()
    assert f"-XX:SharedArchiveFile={jars}/broker.jsa" in options(stack, BROKER)
    assert not any("Archive" in option for option in options(stack, ZOOKEEPER))


def test_archives_are_written_for_the_class_path_that_is_used_later(jars: Path, tmp_path: Path) -> None:
    usual, writing = Stack(tmp_path / "usual"), Stack(tmp_path / "writing", class_archives=tmp_path)
    assert f"-XX:ArchiveClassesAtExit={tmp_path}/broker.jsa" in options(writing, BROKER)
    class_paths = [words[words.index("-cp") + 1] for words in (options(usual, BROKER), options(writing, BROKER))]
    assert class_paths[0] == class_paths[1]
    assert all(path.endswith(".jar") for path in class_paths[0].split(":"))


def test_no_secret_is_among_the_words_that_everybody_can_see(jars: Path, tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack")
    launch = BROKER.prepare(stack.site)
    assert set(stack.site.secrets.values()) & set(launch.environment.values())
    assert not any(secret in str(word) for word in launch.command for secret in stack.site.secrets.values())


def test_nothing_of_our_environment_reaches_a_server_but_what_it_needs(jars: Path, tmp_path: Path) -> None:
    names = set(BROKER.prepare(Stack(tmp_path / "stack").site).environment)
    assert names
    assert names & set(os.environ) == set()
    assert all(name.startswith("DRUID_") for name in names)

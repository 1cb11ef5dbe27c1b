"""A program counts when it runs and is new enough; otherwise the error says what to do."""

from pathlib import Path

import pytest

from deploy.servers.errors import ServersError, ServerUnavailableError
from deploy.servers.find_programs import find_java, find_maven
from deploy.servers.stack import server_names


def write_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("JAVA_HOME", "MAVEN_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_program_is_found_in_the_path(folder: Path) -> None:
    write_program(folder / "bin" / "java", """echo 'openjdk version "17.0.15" 2025-04-15' >&2""")
    assert find_java() == folder / "bin" / "java"


def test_a_home_that_was_set_comes_before_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(folder / "bin" / "java", """echo 'openjdk version "17.0.15" 2025-04-15' >&2""")
    write_program(folder / "home" / "bin" / "java", """echo 'openjdk version "21" 2023-09-19' >&2""")
    monkeypatch.setenv("JAVA_HOME", str(folder / "home"))
    assert find_java() == folder / "home" / "bin" / "java"


@pytest.mark.parametrize("script", ["""echo 'openjdk version "11.0.2"' >&2""", "exit 127", "echo hello"])
def test_an_old_program_and_one_that_does_not_run_are_none(folder: Path, script: str) -> None:
    write_program(folder / "bin" / "java", script)
    with pytest.raises(ServerUnavailableError, match="Java 17 or newer: install"):
        find_java()


def test_a_missing_program_is_told_with_advice(folder: Path) -> None:
    with pytest.raises(ServerUnavailableError, match=r"mvn is missing or too old\..*package maven"):
        find_maven()


def test_servers_are_named_with_all_that_they_need_in_the_order_of_starting() -> None:
    assert server_names(["indexer"]) == ("minio", "zookeeper", "indexer")
    assert server_names(["druid"]) == ("minio", "zookeeper", "coordinator", "historical", "broker", "indexer")
    assert server_names(["minio", "postgresql"]) == ("postgresql", "minio")


def test_an_unknown_server_is_refused() -> None:
    with pytest.raises(ServersError, match="there is no server 'mysql'"):
        server_names(["mysql"])

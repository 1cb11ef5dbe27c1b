"""The catalog on every database that it promises to work on: each contract test runs once on each."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog, open_catalog
from metricfoundry_dagster_tests.servers.postgresql import Postgresql, postgresql

__all__ = ["postgresql"]  # a fixture must be found here

#: Runs each function in a forked child, all at once, and gives the exit statuses: 0, 1 after an exception, or minus
#: the number of the signal that killed it.
InChildren = Callable[[Sequence[Callable[[], object]]], list[int]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)], scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on. For the whole session, so that the tests of one come after those of the other."""
    return str(request.param)


@pytest.fixture
def empty_database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without any table."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'catalog.db'}"
    server: Postgresql = request.getfixturevalue("postgresql")
    return server.create_database()


@pytest.fixture(scope="session")
def upgraded_database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database with the newest tables, to be copied and not to be used."""
    if database_kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('upgraded') / 'catalog.db'}"
    else:
        url = request.getfixturevalue("postgresql").create_database()
    catalog = open_catalog(url)
    catalog.upgrade()
    catalog.close()
    return url


@pytest.fixture
def database_url(upgraded_database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with the newest tables, and nothing in them."""
    if upgraded_database_url.startswith("sqlite"):
        shutil.copy(upgraded_database_url.removeprefix("sqlite:///"), tmp_path / "catalog.db")
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    server: Postgresql = request.getfixturevalue("postgresql")
    return server.create_database(like=upgraded_database_url.rpartition("/")[2])


@pytest.fixture
def catalog(database_url: str) -> Iterator[SqlCatalog]:
    """An empty catalog."""
    catalog = open_catalog(database_url)
    yield catalog
    catalog.close()


@pytest.fixture
def in_children() -> InChildren:
    """Forks, as the warm process that carries runs does."""
    return lambda works: [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in [_fork(work) for work in works]]


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child

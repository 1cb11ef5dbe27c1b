"""The catalog on every database that it promises to work on: each contract test runs once on each."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import delete

from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.engine import parse_address
from metricfoundry_dagster.adapters.catalog.migrate import upgrade
from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog, open_catalog
from metricfoundry_dagster.adapters.catalog.schema import metadata
from metricfoundry_dagster_tests.servers.postgresql import Postgresql

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
def shared_database(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with the newest tables, made once: making one on PostgreSQL copies hundreds of files."""
    if database_kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'catalog.db'}"
    else:
        url = request.getfixturevalue("postgresql").create_database()
    database = Database(parse_address(url))
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def database_url(shared_database: Database) -> str:
    """The address of a database with the newest tables, and nothing in them. Its tables must not be changed."""
    with shared_database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    return shared_database.url.render_as_string(hide_password=False)


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

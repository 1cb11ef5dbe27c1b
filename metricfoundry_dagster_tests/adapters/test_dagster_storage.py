"""Dagster's storage in the PostgreSQL of the catalog: apart from it, made once, and its password told to nobody."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import psycopg2
import pytest
import yaml
from sqlalchemy import make_url

from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog
from metricfoundry_dagster.adapters.catalog.schema import HEAD_REVISION
from metricfoundry_dagster.adapters.dagster_home import DagsterHome, deployment_file
from metricfoundry_dagster.adapters.dagster_storage import ADDRESS_VARIABLE, storage_address
from metricfoundry_dagster.domain.errors import SettingsError, WorldError
from metricfoundry_dagster_tests.servers.postgresql import Postgresql

CATALOG = "postgresql://someone:s%40cret@db:5433/foundry"


def test_the_catalogs_database_is_the_default_and_the_schema_is_another() -> None:
    url = storage_address(f"{CATALOG}?sslmode=verify-full", None)
    assert url is not None
    assert url.render_as_string(hide_password=False).startswith("postgresql+psycopg2://someone:s%40cret@db:5433/foundry?")
    assert (url.query["options"], url.query["sslmode"]) == ("-c search_path=dagster", "verify-full")


def test_options_of_the_address_are_kept() -> None:
    url = storage_address(f"{CATALOG}?options=-c%20work_mem%3D8MB&connect_timeout=3", None)
    assert url is not None
    assert (url.query["options"], url.query["connect_timeout"]) == ("-c work_mem=8MB -c search_path=dagster", "3")


def test_a_catalog_with_a_search_path_of_its_own_does_not_take_dagsters_with_it() -> None:
    """The last one counts."""
    url = storage_address(f"{CATALOG}?options=-csearch_path%3Dmine", None)
    assert url is not None
    assert url.query["options"] == "-csearch_path=mine -c search_path=dagster"


def test_an_address_of_its_own_is_taken_with_its_search_path() -> None:
    url = storage_address("sqlite:////x/catalog.db", "postgres://a:b@other/d?options=-csearch_path%3Druns")
    assert url is not None
    assert (url.drivername, url.host, url.query["options"]) == ("postgresql+psycopg2", "other", "-csearch_path=runs")


def test_what_was_spelled_once_stays_as_it_is() -> None:
    """Child processes read it as the setting."""
    once = storage_address(CATALOG, None)
    assert once is not None
    assert storage_address(CATALOG, once.render_as_string(hide_password=False)) == once


@pytest.mark.parametrize("database_url", ["sqlite:////x/catalog.db", "mysql://a/b"])
def test_without_a_postgresql_it_is_files(database_url: str) -> None:
    assert storage_address(database_url, None) is None


@pytest.mark.parametrize("own", ["sqlite:////x/dagster.db", "mysql://a:hunter2@b/c", "hunter2"])
def test_an_address_of_anything_else_is_a_wrong_setting(own: str) -> None:
    with pytest.raises(SettingsError, match=ADDRESS_VARIABLE) as caught:
        storage_address(CATALOG, own)
    assert "hunter2" not in str(caught.value)


def test_a_user_whose_own_schema_would_be_dagsters_is_refused() -> None:
    """PostgreSQL looks into the schema named after the user first: the catalog would read Dagster's revision."""
    catalog = CATALOG.replace("someone", "dagster")
    with pytest.raises(SettingsError, match="schema of that name"):
        storage_address(catalog, None)
    assert storage_address(catalog, "postgresql://dagster:x@db:5433/another") is not None
    assert storage_address(f"{catalog}?options=-csearch_path%3Dpublic", None) is not None


def test_both_files_for_dagster_home_differ_in_the_storage_alone() -> None:
    embedded, on_servers = (yaml.safe_load(deployment_file(name).read_text()) for name in ("dagster.yaml", "deploy/dagster.yaml"))
    assert on_servers.pop("storage") == {"postgres": {"postgres_url": {"env": ADDRESS_VARIABLE}}}
    assert on_servers == embedded


@pytest.fixture(scope="module")
def made(postgresql: Postgresql, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[DagsterHome]]:
    """A database in which two processes made the catalog and two others Dagster's storage, all at once."""
    address, folder = postgresql.create_database(), tmp_path_factory.mktemp("homes")
    homes = [DagsterHome(folder / name, storage_address(address, None), 2, 3_600) for name in ("a", "b")]
    work = [*(home.prepare for home in homes), *(open_catalog(address).upgrade for _ in range(2))]
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result()
    return address, homes


@pytest.mark.servers
def test_catalog_and_dagster_are_made_in_one_database_at_once(made: tuple[str, list[DagsterHome]]) -> None:
    """Each finds its own revision afterwards."""
    address, _ = made
    assert open_catalog(address).check() == HEAD_REVISION
    assert _scalar(address, "SELECT count(*) FROM dagster.alembic_version") == 1
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public' AND table_name = 'runs'"
    assert _scalar(address, tables) == 0
    assert _scalar(address, "SELECT count(*) FROM dagster.metricfoundry_dagster_storage") == 1


@pytest.mark.servers
def test_no_file_holds_the_password(made: tuple[str, list[DagsterHome]], postgresql: Postgresql) -> None:
    files = [path for home in made[1] for path in home.home.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"dagster.yaml"}
    assert [path for path in files if postgresql.password in path.read_text()] == []


@pytest.mark.servers
def test_a_storage_that_is_up_to_date_is_left_alone(made: tuple[str, list[DagsterHome]]) -> None:
    """Seen by the mark in its schema; one that an older Dagster made is migrated."""
    address, [home, _] = made
    _execute(address, "DROP TABLE dagster.daemon_heartbeats")
    home.prepare()
    assert _scalar(address, "SELECT to_regclass('dagster.daemon_heartbeats')::text") is None
    _execute(address, "DROP TABLE dagster.runs CASCADE")
    _execute(address, "UPDATE dagster.metricfoundry_dagster_storage SET dagster_version = '1.0.0'")
    home.prepare()
    assert _scalar(address, "SELECT to_regclass('dagster.runs')::text") == "dagster.runs"
    assert _scalar(address, "SELECT dagster_version FROM dagster.metricfoundry_dagster_storage") == version("dagster")


@pytest.mark.servers
def test_a_database_that_cannot_be_reached_is_the_worlds_error_without_a_password(postgresql: Postgresql, tmp_path: Path) -> None:
    wrong = make_url(postgresql.create_database()).set(password="hunter2").render_as_string(hide_password=False)
    with pytest.raises(WorldError, match=r"dagster\.unreachable") as caught:
        DagsterHome(tmp_path, storage_address(wrong, None), 2, 3_600).prepare()
    assert "hunter2" not in str(caught.value)
    assert "password authentication failed" in str(caught.value)


def _execute(address: str, statement: str) -> None:
    with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _scalar(address: str, query: str) -> object:
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
        return row[0] if row else None

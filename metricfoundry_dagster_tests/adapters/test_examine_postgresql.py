"""The doctor at a real PostgreSQL, and at databases in which something is wrong."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, text

from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.engine import parse_address
from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog
from metricfoundry_dagster.adapters.catalog.schema import HEAD_REVISION
from metricfoundry_dagster.adapters.dagster_storage import storage_address
from metricfoundry_dagster.adapters.examine_postgresql import examine_catalog, examine_dagster_storage
from metricfoundry_dagster.domain.checks import Check, check_clock
from metricfoundry_dagster_tests.servers.postgresql import Postgresql

SERVER_CHECKS = ["catalog", "catalog server", "catalog connections", "catalog clock"]


def checks(url: URL, connections_needed: int = 5) -> dict[str, Check]:
    """The checks by name; none of them tells the password."""
    found = list(examine_catalog(url, connections_needed))
    assert str(url.password) not in str([(check.detail, check.next_step) for check in found])
    return {check.name: check for check in found}


def revised(url: str, revision: str) -> URL:
    """A catalog whose tables say that they are at another revision."""
    catalog = open_catalog(url)
    catalog.upgrade()
    catalog.close()
    address = parse_address(url)
    database = Database(address)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    database.close()
    return address


@pytest.mark.servers
def test_an_empty_database_is_well_and_stays_empty(postgresql: Postgresql) -> None:
    url = parse_address(postgresql.create_database())
    for _ in range(2):
        found = checks(url)
        assert [(name, check.verdict) for name, check in found.items()] == [(name, "ok") for name in SERVER_CHECKS]
        assert "no tables yet" in found["catalog"].detail


@pytest.mark.servers
def test_a_catalog_in_use_tells_its_revision(postgresql: Postgresql) -> None:
    found = checks(revised(postgresql.create_database(), HEAD_REVISION))
    assert [check.verdict for check in found.values()] == ["ok"] * 4
    assert f"schema revision {HEAD_REVISION} at" in found["catalog"].detail


def test_tables_of_a_newer_version_are_a_failure_and_those_of_an_older_one_are_none(tmp_path: Path) -> None:
    newer = checks(revised(f"sqlite:///{tmp_path}/newer.db", "9999"))["catalog"]
    assert (newer.verdict, "newer" in newer.detail, "newer" in newer.next_step) == ("failed", True, True)
    older = checks(revised(f"sqlite:///{tmp_path}/older.db", "0000"))["catalog"]
    assert (older.verdict, HEAD_REVISION in older.detail) == ("ok", True)


@pytest.mark.servers
def test_a_wrong_password_a_missing_database_and_a_stopped_server_each_have_their_step(postgresql: Postgresql) -> None:
    url = parse_address(postgresql.create_database())
    wrong = checks(url.set(password="canary-word"))["catalog"]
    missing = checks(url.set(database="nowhere"))["catalog"]
    stopped = checks(url.set(port=1))["catalog"]
    assert {check.verdict for check in (wrong, missing, stopped)} == {"failed"}
    assert "password" in wrong.next_step
    assert "Make the database" in missing.next_step
    assert "database is up" in stopped.next_step


@pytest.mark.servers
def test_a_user_who_may_make_no_tables_is_told_only_while_some_are_to_be_made(postgresql: Postgresql) -> None:
    full = postgresql.create_database()
    url = parse_address(full)
    postgresql.execute(f"CREATE ROLE reader_{url.database} LOGIN PASSWORD 'word' CONNECTION LIMIT 3")
    reader = url.set(username=f"reader_{url.database}", password="word")
    found = checks(reader, connections_needed=4)
    assert (found["catalog rights"].verdict, "GRANT CREATE" in found["catalog rights"].next_step) == ("failed", True)
    assert (found["catalog connections"].verdict, "max_connections" in found["catalog connections"].next_step) == (
        "warning",
        True,
    )


@pytest.mark.servers
def test_a_database_that_only_reads_can_hold_no_catalog(postgresql: Postgresql) -> None:
    url = parse_address(postgresql.create_database())
    postgresql.execute(f"ALTER DATABASE {url.database} SET default_transaction_read_only = on")
    assert checks(url)["catalog rights"].verdict == "failed"


@pytest.mark.servers
def test_dagsters_storage_is_told_to_be_there_or_to_be_made(postgresql: Postgresql) -> None:
    address = postgresql.create_database()
    url = storage_address(address, None)
    assert url is not None
    [absent] = examine_dagster_storage(url, is_elsewhere=False)
    assert (absent.verdict, "not made yet" in absent.detail) == ("ok", True)
    database = Database(parse_address(address))
    with database.writing() as connection:
        connection.execute(text("CREATE SCHEMA dagster"))
        connection.execute(text("CREATE TABLE dagster.event_logs (id int)"))
    database.close()
    [present] = examine_dagster_storage(url, is_elsewhere=False)
    assert (present.verdict, "schema dagster" in present.detail) == ("ok", True)
    [away] = examine_dagster_storage(url.set(port=1), is_elsewhere=True)
    assert (away.verdict, "METRICFOUNDRY_DAGSTER_DATABASE_URL" in away.next_step) == ("failed", True)
    there = {check.name for check in examine_dagster_storage(url, is_elsewhere=True)}
    assert there == {"dagster storage", "dagster storage server", "dagster storage clock"}


def test_a_file_that_is_not_there_yet_is_well_and_is_not_made(tmp_path: Path) -> None:
    found = checks(parse_address(f"sqlite:///{tmp_path}/deep/er/catalog.db"))
    assert [(check.name, check.verdict) for check in found.values()] == [("catalog", "ok")]
    assert list(tmp_path.iterdir()) == []


def test_a_clock_far_away_is_a_warning_and_a_failure_only_where_it_breaks_something() -> None:
    verdicts = []
    for away in (timedelta(0), timedelta(seconds=-59), timedelta(seconds=61), timedelta(hours=-1)):
        for fail_seconds in (None, 900):
            check = check_clock("x", away.total_seconds(), warn_seconds=60, fail_seconds=fail_seconds, why="it breaks")
            verdicts.append(check.verdict)
    assert verdicts == ["ok", "ok", "ok", "ok", "warning", "warning", "warning", "failed"]

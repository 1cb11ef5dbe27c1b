"""The tables that migrations make, on both databases, from several processes at once, there and back."""

import re
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from metricfoundry_dagster.adapters.catalog.database import Database
from metricfoundry_dagster.adapters.catalog.engine import parse_address
from metricfoundry_dagster.adapters.catalog.migrate import downgrade, upgrade
from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog
from metricfoundry_dagster.adapters.catalog.schema import HEAD_REVISION, metadata
from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster_tests.port_contracts.catalog.conftest import InChildren
from metricfoundry_dagster_tests.port_contracts.catalog.samples import NOON, new_dataset
from metricfoundry_dagster_tests.port_contracts.catalog.test_kills import killed_at


@pytest.fixture
def own_database_url(empty_database_url: str) -> str:
    """The address of a database with the newest tables, which may be changed."""
    upgrade_from_outside(empty_database_url)
    return empty_database_url


def upgrade_from_outside(database_url: str) -> str:
    """Another process that starts at the same moment."""
    catalog = open_catalog(database_url)
    catalog.upgrade()
    revision = catalog.check()
    catalog.close()
    return revision


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(own_database_url: str) -> None:
    database = Database(parse_address(own_database_url))
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert inspect(connection).get_foreign_keys("jobs")[0]["referred_table"] == "datasets"
    database.close()


def test_checks_of_the_code_are_checks_of_the_tables(own_database_url: str) -> None:
    """Alembic does not compare these."""
    database = Database(parse_address(own_database_url))
    with database.reading() as connection:
        found = {
            (table, check["name"]) for table in metadata.tables for check in inspect(connection).get_check_constraints(table)
        }
    database.close()
    assert found == {("jobs", "ck_jobs_state"), ("jobs", "ck_jobs_progress")}


def test_upgrading_again_changes_nothing(own_database_url: str) -> None:
    catalog = open_catalog(own_database_url)
    catalog.register([new_dataset()], NOON)
    catalog.upgrade()
    assert catalog.check() == HEAD_REVISION
    assert catalog.dataset(new_dataset().dataset_id).sequence == 1
    catalog.close()


def test_several_processes_may_upgrade_at_once(empty_database_url: str, in_children: InChildren) -> None:
    assert in_children([partial(upgrade_from_outside, empty_database_url)] * 4) == [0, 0, 0, 0]
    assert open_catalog(empty_database_url).check() == HEAD_REVISION


def test_an_upgrade_that_is_killed_leaves_no_half(empty_database_url: str, in_children: InChildren) -> None:
    kills = 0
    for step in range(1, 100, 4):
        if in_children([killed_at(step, open_catalog(empty_database_url).upgrade)]) == [0]:
            break
        kills += 1
        assert open_catalog(empty_database_url).check() == "none"
    assert kills > 4
    assert open_catalog(empty_database_url).check() == HEAD_REVISION


def test_a_downgrade_leads_back_to_nothing_and_up_again(own_database_url: str) -> None:
    database = Database(parse_address(own_database_url))
    open_catalog(own_database_url).register([new_dataset()], NOON)
    downgrade(database, "base")
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    upgrade(database)
    database.close()
    assert open_catalog(own_database_url).register([new_dataset()], NOON)[0].sequence == 1


def test_a_database_from_the_future_is_left_alone(own_database_url: str) -> None:
    database = Database(parse_address(own_database_url))
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(WorldError, match=r"at revision 9999, newer than .* \[catalog\.unreachable\]"):
        open_catalog(own_database_url).upgrade()
    assert open_catalog(own_database_url).check() == "9999"


def test_the_newest_script_is_the_revision_that_the_code_expects() -> None:
    scripts = files("metricfoundry_dagster.adapters.catalog") / "migrations" / "versions"
    revisions = [match[1] for script in scripts.iterdir() if (match := re.match(r"(\d{4})_\w+\.py$", script.name))]
    assert max(revisions) == HEAD_REVISION
    assert sorted(revisions) == [f"{number:04}" for number in range(1, len(revisions) + 1)]


def test_a_sqlite_catalog_lets_readers_go_on_while_it_is_written(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/catalog.db"
    upgrade_from_outside(address)
    engine = create_engine(address)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()

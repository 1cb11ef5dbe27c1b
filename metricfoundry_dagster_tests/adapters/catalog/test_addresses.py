"""Which database addresses are taken, and that none ever shows its secrets."""

import sqlite3
import stat
import traceback
from contextlib import closing
from pathlib import Path

import pytest

from metricfoundry_dagster.adapters.catalog.engine import address_without_secrets, build_engine, parse_address
from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog
from metricfoundry_dagster.domain.errors import UserError, WorldError
from metricfoundry_dagster.ports.catalog import DatasetFilter

PASSWORD = "correct-horse"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_bare_postgresql_address_takes_the_driver_that_dagster_takes(scheme: str) -> None:
    url = parse_address(f"{scheme}://me:{PASSWORD}@db.example:5433/catalog?sslmode=require")
    assert url.drivername == "postgresql+psycopg2"
    assert (url.host, url.port, url.database, url.query) == ("db.example", 5433, "catalog", {"sslmode": "require"})


@pytest.mark.parametrize(
    "address",
    [
        f"mysql://me:{PASSWORD}@db.example/catalog",
        f"postgresql+asyncpg://me:{PASSWORD}@db.example/catalog",
        f"postgresql://me:{PASSWORD}@db.example:port/catalog",
        f"no address {PASSWORD}",
        "",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_other_addresses_are_refused_without_repeating_them(address: str) -> None:
    with pytest.raises(UserError, match=r"\[request\.invalid\]") as caught:
        open_catalog(address)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert "METRICFOUNDRY_DATABASE_URL" in caught.value.record.hint


def test_an_address_is_shown_without_user_password_and_options() -> None:
    url = parse_address(f"postgresql://me:{PASSWORD}@db.example:5433/catalog?sslpassword={PASSWORD}")
    assert address_without_secrets(url) == "postgresql://db.example:5433/catalog"


def test_options_in_the_address_win_over_ours() -> None:
    engine = build_engine(parse_address("postgresql://db.example/catalog?connect_timeout=3"))
    arguments, keywords = engine.dialect.create_connect_args(engine.url)
    assert arguments == []
    assert keywords["connect_timeout"] == "3"


@pytest.mark.parametrize(
    "where",
    [
        f"me:{PASSWORD}@127.0.0.1:1",
        f"me:{PASSWORD}@/catalog?host=/nowhere&x=",
        f"me:{PASSWORD}@127.0.0.1:1/x?nonsense={PASSWORD}",
    ],
)
def test_a_database_that_does_not_answer_is_the_worlds_error_and_names_no_password(where: str) -> None:
    catalog = open_catalog(f"postgresql://{where}")
    for action in (catalog.upgrade, catalog.check, lambda: catalog.datasets(DatasetFilter())):
        with pytest.raises(WorldError, match=r"\[catalog\.unreachable\]") as caught:
            action()
        assert "postgresql://" in caught.value.record.message
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_no_database_is_the_worlds_error(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_text("This is a letter to a friend, and no database. " * 100)
    with pytest.raises(WorldError, match=r"catalog\.db: file is not a database \[catalog\.unreachable\]"):
        open_catalog(f"sqlite:///{path}").upgrade()


def test_a_folder_that_cannot_be_made_is_the_worlds_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorldError, match=r"File exists \[catalog\.unreachable\]"):
        open_catalog(f"sqlite:///{tmp_path}/file/catalog.db")


def test_a_catalog_without_tables_says_what_to_do(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    assert catalog.check() == "none"
    with pytest.raises(WorldError, match=r"does not hold the catalog's tables yet") as caught:
        catalog.datasets(DatasetFilter())
    assert "metricfoundry up" in caught.value.record.hint


def test_nothing_is_written_before_the_first_transaction(tmp_path: Path) -> None:
    open_catalog(f"sqlite:///{tmp_path}/deep/er/catalog.db")
    assert (tmp_path / "deep" / "er").is_dir()
    assert list((tmp_path / "deep" / "er").iterdir()) == []


def test_odd_characters_in_the_path_of_the_file_are_just_characters(tmp_path: Path) -> None:
    path = tmp_path / "a b%20é#?x" / "catalog.db"
    catalog = open_catalog(f"sqlite:///{str(path).replace('?', '%3F')}")
    catalog.upgrade()
    catalog.close()
    found = sorted(entry.name for entry in tmp_path.rglob("*.db") if stat.S_ISREG(entry.stat().st_mode))
    assert found == ["catalog.db"]


def test_a_file_that_is_held_by_somebody_else_is_the_worlds_error(tmp_path: Path) -> None:
    """Entering WAL mode needs the file for itself for a moment."""
    address = f"sqlite:///{tmp_path}/catalog.db?timeout=0.1"
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WorldError, match=r"database is locked \[catalog\.unreachable\]"):
            open_catalog(address).upgrade()
        other.rollback()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorldError, match=r"database is locked \[catalog\.unreachable\]"):
            open_catalog(address).upgrade()

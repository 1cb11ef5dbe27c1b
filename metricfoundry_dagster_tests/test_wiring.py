"""The composition root builds what the settings say, and nothing before it is asked to."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from metricfoundry_dagster.domain.errors import SettingsError, UserError, WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import (
    build_catalog,
    build_contracts,
    build_directory_store,
    build_ports,
    build_store,
    find_dagster,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Everything below one directory, with a limit that is not the default."""
    return Settings(home=tmp_path / "state", source_roots=(str(tmp_path / "allowed"),), max_columns=7, port=1)


def test_importing_it_reaches_for_nothing() -> None:
    """A warm parent process must not have used what its children need, and a help text is to be there at once."""
    code = "import sys, metricfoundry_dagster.wiring; print(*(name for name in sys.modules if '.adapters' in name))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == []


def test_the_ports_are_ready_to_use(settings: Settings) -> None:
    ports = build_ports(settings)
    assert ports.catalog.check() != "none"
    assert ports.engine.current("nothing") is None
    assert ports.limits.max_columns == 7
    assert ports.clock.now().utcoffset() is not None


def test_an_overlords_address_chooses_druid_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, druid_overlord_url="http://127.0.0.1:1", druid_password=SecretStr("k9-canary"))
    engine = build_ports(settings).engine
    assert type(engine).__name__ == "DruidEngine"
    assert engine.current("nothing") is None
    assert "k9-canary" not in repr(engine.__dict__)


def test_building_again_finds_what_was_kept(settings: Settings) -> None:
    first = build_ports(settings)
    first.catalog.keep_contract("sales", "name: sales\n", first.clock.now())
    assert build_ports(settings).catalog.contract("sales") == "name: sales\n"


def test_each_root_lies_where_its_setting_says(settings: Settings, tmp_path: Path) -> None:
    store = build_store(settings)
    addresses = [store.uri(root, "a") for root in Root]
    assert addresses == [f"file://{tmp_path}/state/store/{root}/a" for root in Root]


def test_whoever_serves_others_reads_only_what_is_allowed(settings: Settings, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n")
    assert build_ports(settings).sources.stat(str(outside)).size_bytes == 2
    with pytest.raises(UserError, match=r"source\.not_allowed"):
        build_ports(settings, only_source_roots=True).sources.stat(str(outside))


def test_a_database_that_cannot_hold_the_catalog_is_a_wrong_setting(tmp_path: Path) -> None:
    wrong = Settings(home=tmp_path, database_url="mysql://someone:hunter2@db/catalog")
    with pytest.raises(SettingsError, match="METRICFOUNDRY_DATABASE_URL") as caught:
        build_catalog(wrong)
    assert "hunter2" not in str(caught.value)


def test_a_home_that_cannot_be_made_is_the_worlds_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorldError, match=r"store\.unreachable"):
        build_ports(Settings(home=tmp_path / "file/home"))


def test_the_sales_contract_comes_with_the_package(settings: Settings) -> None:
    assert "name: sales" in build_contracts(settings).read("sales")


def test_a_directory_can_be_a_store_of_its_own(tmp_path: Path) -> None:
    store = build_directory_store(str(tmp_path / "out"))
    store.write_bytes(Root.ARTIFACTS, "a/b", b"x")
    assert (tmp_path / "out/a/b").read_bytes() == b"x"


def test_nobody_answers_where_no_dagster_is(settings: Settings) -> None:
    assert find_dagster(settings) == (None, False)
    named = settings.model_copy(update={"dagster_url": "http://127.0.0.1:1/"})
    assert find_dagster(named) == ("http://127.0.0.1:1", False)

"""Settings come from the environment alone, are checked whole, and never show a secret."""

from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import ValidationError

from metricfoundry_dagster.domain.errors import SettingsError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.settings import Settings, describe_settings, load_settings, unknown_variables
from metricfoundry_dagster.wiring import build_limits


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own `.env` must not be read."""
    monkeypatch.chdir(tmp_path)


def test_everything_has_a_default_below_the_working_directory(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.home == tmp_path / ".metricfoundry"
    assert settings.uploads_root == str(tmp_path / ".metricfoundry/store/uploads")
    assert settings.database_url == f"sqlite:///{tmp_path}/.metricfoundry/catalog.db"
    assert settings.contracts_dir == tmp_path / "contracts"
    assert settings.source_roots == (settings.uploads_root,)
    assert build_limits(settings) == Limits()


def test_defaults_follow_the_settings_they_hang_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_HOME", "elsewhere")
    settings = load_settings()
    assert settings.reports_root == str(tmp_path / "elsewhere/store/reports")


def test_a_root_may_be_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_UPLOADS_ROOT", "s3://bucket/uploads")
    assert load_settings().uploads_root == "s3://bucket/uploads"


def test_a_relative_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may run in another directory."""
    monkeypatch.setenv("METRICFOUNDRY_UPLOADS_ROOT", "drop")
    assert load_settings().uploads_root == str(tmp_path / "drop")


def test_source_roots_are_directories_and_urls_separated_by_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_SOURCE_ROOTS", "/srv/in, data,s3://bucket/in")
    assert load_settings().source_roots == ("/srv/in", str(tmp_path / "data"), "s3://bucket/in")


def test_an_env_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("METRICFOUNDRY_PORT=4000\nMETRICFOUNDRY_MIN_ROWS=7\nOTHER=1\n")
    monkeypatch.setenv("METRICFOUNDRY_PORT", "5000")
    settings = load_settings()
    assert (settings.port, settings.min_rows) == (5000, 7)


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_PORT", "")
    assert load_settings().port == 3000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("PORT", "70000"),
        ("MAX_FILE_BYTES", "0"),
        ("MAX_REJECT_SHARE", "1.5"),
        ("MAX_REJECT_SHARE", "nan"),
        ("QUERY_TIMEOUT_SECONDS", "-1"),
        ("DRUID_OVERLORD_URL", "localhost:8081"),
        ("DRUID_BROKER_URL", "http://user:password@localhost:8082"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name_alone(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"METRICFOUNDRY_{name}", value)
    with pytest.raises(SettingsError, match=f"METRICFOUNDRY_{name}: ") as caught:
        load_settings()
    assert caught.value.code == "settings.invalid"
    assert value not in caught.value.record.message


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that hangs on a wrong setting is not counted as wrong."""
    monkeypatch.setenv("METRICFOUNDRY_PORT", "x")
    monkeypatch.setenv("METRICFOUNDRY_MIN_ROWS", "y")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [problem.partition(":")[0] for problem in caught.value.record.message.split("; ")] == [
        "METRICFOUNDRY_MIN_ROWS",
        "METRICFOUNDRY_PORT",
    ]


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICFOUNDRY_DATABASE_URL", "postgresql://someone:hunter2@db/catalog")
    monkeypatch.setenv("METRICFOUNDRY_S3_SECRET_ACCESS_KEY", "hunter2")
    settings = load_settings()
    assert "hunter2" not in repr(settings) + str(settings)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().port = 1


def test_a_misspelled_variable_is_found() -> None:
    assert unknown_variables({"METRICFOUNDRY_PROT": "1", "METRICFOUNDRY_PORT": "1", "PATH": ""}) == ["METRICFOUNDRY_PROT"]


def test_each_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for position, field in enumerate(fields(Limits)):
        monkeypatch.setenv(f"METRICFOUNDRY_{field.name.upper()}", "1" if field.name.endswith("share") else str(position + 100))
    limits = build_limits(load_settings())
    assert [getattr(limits, f.name) for f in fields(Limits)] == [
        1.0 if f.name.endswith("share") else position + 100 for position, f in enumerate(fields(Limits))
    ]


@pytest.mark.parametrize("each", describe_settings(), ids=lambda each: each.name)
def test_each_setting_says_what_it_does(each: object) -> None:
    from metricfoundry_dagster.settings import SettingDescription

    assert isinstance(each, SettingDescription)
    assert each.meaning.endswith(".")
    assert len(each.meaning.split()) >= 4
    assert each.variable == "METRICFOUNDRY_" + each.name.upper()


def test_no_default_shows_this_machine() -> None:
    """The guide is the same wherever it is made."""
    shown = " ".join(each.default for each in describe_settings())
    assert str(Path.cwd()) not in shown
    assert set(Settings.model_fields) == {each.name for each in describe_settings()}


def test_the_place_where_servers_are_built_is_no_mistyped_setting() -> None:
    assert unknown_variables({"METRICFOUNDRY_SERVERS_CACHE": "somewhere", "METRICFOUNDRY_SERVER_CACHE": ""}) == [
        "METRICFOUNDRY_SERVER_CACHE"
    ]

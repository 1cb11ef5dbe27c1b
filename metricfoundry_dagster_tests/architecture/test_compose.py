"""The compose file describes the servers that run here without Docker, and our own image starts what there is.

No Docker engine is asked for anything: what these tests hold together is what can differ without being noticed.
"""

import re
import subprocess
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import pytest
import typer

from deploy.servers import run_druid, run_minio, run_postgresql
from deploy.servers.locations import DRUID_CONFIGURATION, bucket_names
from deploy.servers.point_at_stack import settings_of
from deploy.servers.stack import PRODUCTS, SERVERS, Stack
from metricfoundry_dagster.cli.main import app
from metricfoundry_dagster.settings import Settings, unknown_variables
from metricfoundry_dagster_tests.architecture.compose_file import (
    COMPOSE_FILE,
    VARIABLE,
    arguments_of,
    environment_of,
    mounts_of,
    services,
)
from metricfoundry_dagster_tests.architecture.source_code import ROOT

OURS = ("metricfoundry", "init")
DRUID = tuple(name for name in PRODUCTS["druid"] if name not in {"minio", "zookeeper"})


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """The servers as they would run here; none is started."""
    return Stack(tmp_path)


def test_it_has_the_servers_that_run_here_and_our_own() -> None:
    assert set(services()) == {*SERVERS, *OURS}


# ---- our own services


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_a_setting_and_its_value_is_allowed(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment_of(service)
    assert unknown_variables(given) == []
    assert all(name.startswith("METRICFOUNDRY_") for name in given)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings().database_url.startswith("postgresql://metricfoundry:POSTGRES_PASSWORD@")


def test_it_gives_the_settings_that_point_at_the_servers_here(stack: Stack) -> None:
    here, there = settings_of(stack), environment_of("metricfoundry")
    assert set(here) <= set(there)
    for name, value in here.items():
        if name.endswith(("_KEY_ID", "_ACCESS_KEY")):
            continue  # passwords differ
        mine, theirs = urlsplit(value), urlsplit(there[name])
        assert (mine.scheme, mine.path, mine.username) == (theirs.scheme, theirs.path, theirs.username), name
        if mine.scheme == "s3" or not mine.scheme:
            assert value == there[name]


def test_addresses_name_services_and_the_ports_on_which_they_listen() -> None:
    there = environment_of("metricfoundry")
    ports = {name: environment_of(name)[f"DRUID_{name.upper()}_PORT"] for name in DRUID} | {"postgresql": "5432", "minio": "9000"}
    named = [urlsplit(value) for value in there.values() if urlsplit(value).scheme in {"http", "postgresql"}]
    assert len(named) == 4
    assert {(url.hostname, str(url.port)) for url in named} <= set(ports.items())


def test_the_commands_are_those_of_the_command_line() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined] # typer's own click hides the class of a group
    assert {arguments_of(name)[0] for name in OURS} == {"up", "prepare"} <= set(commands)


def test_one_name_stays_with_the_container_that_carries_runs() -> None:
    """Otherwise the next container waits for the workers of the one before: they are known by host and process id."""
    assert services()["metricfoundry"]["hostname"] == "metricfoundry"


def test_all_buckets_are_made_before_anything_needs_them() -> None:
    roots = {value.removeprefix("s3://") for value in environment_of("init").values() if value.startswith("s3://")}
    words = arguments_of("init")
    others = {words[position + 1] for position, word in enumerate(words) if word == "--bucket"}
    assert roots | others == set(bucket_names())
    assert f"druid.storage.bucket={others.pop()}\n" in (DRUID_CONFIGURATION / "common.runtime.properties").read_text()
    for name in ("metricfoundry", *DRUID):
        assert services()[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}


# ---- the servers


def test_postgresql_has_the_same_files_names_and_ways_in() -> None:
    given = environment_of("postgresql")
    assert (given["POSTGRES_USER"], given["POSTGRES_DB"]) == (run_postgresql.USER, run_postgresql.DATABASE)
    assert mounts_of("postgresql")["/etc/postgresql/postgresql.conf"] == "deploy/postgresql/postgresql.conf"
    assert "config_file=/etc/postgresql/postgresql.conf" in arguments_of("postgresql")
    source = Path(run_postgresql.__file__).read_text()
    for option in ("UTF8", "--no-locale", "scram-sha-256"):
        assert option in given["POSTGRES_INITDB_ARGS"]
        assert f'"{option}"' in source


def test_the_s3_service_has_the_same_variables_and_region() -> None:
    given = environment_of("minio")
    source = Path(run_minio.__file__).read_text()
    assert set(given) == set(re.findall(r'"(MINIO_\w+)":', source))
    assert given["MINIO_REGION"] == run_minio.REGION == environment_of("metricfoundry")["METRICFOUNDRY_S3_REGION"]
    assert {word for word in arguments_of("minio") if word.startswith("--")} <= set(re.findall(r'"(--[\w-]+)"', source))


@pytest.mark.parametrize("name", DRUID)
def test_a_process_of_druid_has_the_same_files_options_and_variables(name: str, stack: Stack) -> None:
    assert mounts_of(name)["/etc/druid"] == "deploy/druid"
    assert arguments_of(name) == [
        f"@/etc/druid/{name}/jvm.config", "-cp", f"/etc/druid/{name}:/etc/druid:/opt/druid/lib/*",
        "org.apache.druid.cli.Main", "server", name,
    ]  # fmt: skip
    given = environment_of(name)
    assert set(given.pop("JDK_JAVA_OPTIONS").split()) == set(run_druid._OPENED)
    assert set(given) == set(run_druid._variables(stack.site, name, Path("extensions")))
    assert given["DRUID_STATE_DIRECTORY"] in mounts_of(name)
    assert given["DRUID_HOST"] == name
    assert given["DRUID_METADATA_HOST"] == "coordinator"


@pytest.mark.parametrize("name", DRUID)
def test_the_files_of_druid_find_every_variable_that_they_name(name: str) -> None:
    files = (DRUID_CONFIGURATION / "common.runtime.properties", DRUID_CONFIGURATION / name / "runtime.properties")
    text = "".join(line for file in files for line in file.read_text().splitlines(keepends=True) if not line.startswith("#"))
    named = set(re.findall(r"\$\{env:(\w+)", text)) | set(re.findall(r'"variable":"(\w+)"', text))
    assert named <= set(environment_of(name))
    assert re.search(rf"^druid\.plaintextPort=\$\{{env:DRUID_{name.upper()}_PORT:-(\d+)\}}$", text, re.MULTILINE)


def test_druid_is_of_the_version_that_runs_here() -> None:
    pom = (DRUID_CONFIGURATION / "core-pom.xml").read_text()
    match = re.search(r"<artifactId>druid-services</artifactId>\s*<version>([\d.]+)</version>", pom)
    assert match
    assert {services()[name]["image"] for name in (*DRUID, "zookeeper")} == {f"apache/druid:{match[1]}"}


def test_zookeeper_reads_the_same_file(stack: Stack, tmp_path: Path) -> None:
    """The script that fills it in is carried out."""
    [script] = services()["zookeeper"]["command"]
    fill_in = script.partition(" && ")[0].replace("$$", "$")
    outside = {"/etc/druid/": DRUID_CONFIGURATION, "/tmp/": tmp_path}
    fill_in = re.sub(r" (/etc/druid/|/tmp/)", lambda inside: f" {outside[inside[1]]}/", fill_in)
    subprocess.run(["sh", "-c", fill_in], check=True, timeout=10)
    ours = {"ZOOKEEPER_ADDRESS": "zookeeper", "ZOOKEEPER_PORT": "2181", "ZOOKEEPER_DATA_DIR": "/opt/druid/var/zookeeper"}
    expected = Template((DRUID_CONFIGURATION / "zoo.cfg").read_text()).substitute(ours)
    assert _properties((tmp_path / "zoo.cfg").read_text()) == _properties(expected)
    assert environment_of("coordinator")["DRUID_ZOOKEEPER"] == "zookeeper:2181"
    assert "org.apache.zookeeper.server.ZooKeeperServerMain" in Path(run_druid.__file__).read_text()
    assert "org.apache.zookeeper.server.ZooKeeperServerMain" in arguments_of("zookeeper")


def test_the_same_addresses_tell_health() -> None:
    source = Path(run_druid.__file__).read_text() + Path(run_minio.__file__).read_text()
    for name in (*DRUID, "minio"):
        address = urlsplit(services()[name]["healthcheck"]["test"][-1])
        assert f'"{address.path}"' in source
        assert address.hostname in {name, "127.0.0.1"}


# ---- what holds for all


def test_nothing_is_published_beyond_this_machine() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not any("network_mode" in service or service.get("privileged") for service in services().values())


def test_no_password_has_a_default_and_every_variable_is_explained() -> None:
    text = "".join(line for line in COMPOSE_FILE.read_text().splitlines(keepends=True) if not line.lstrip().startswith("#"))
    used = {match["name"]: match["rest"] for match in VARIABLE.finditer(text)}
    example = (ROOT / "deploy" / "compose.env.example").read_text()
    assert set(used) == set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    for name, rest in used.items():
        assert rest.startswith(":-" if name.endswith("_PORT") else ":?set it in .env"), name
    assert re.findall(r"^[A-Z_]+=(.+)$", example, re.MULTILINE) == []


@pytest.mark.parametrize("name", services())
def test_a_service_is_pinned_bounded_watched_and_started_again(name: str) -> None:
    service = services()[name]
    image, _, tag = service["image"].rpartition(":")
    assert image
    assert re.search(r"\d", tag)
    assert "mem_limit" in service
    if name != "init":
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "start_period"} <= set(service["healthcheck"])


def test_every_volume_is_declared_and_every_mounted_path_is_there() -> None:
    declared = set(_compose_volumes())
    mounted = {outside for name in services() for outside in mounts_of(name).values()}
    assert declared == {name for name in mounted if "/" not in name and not (ROOT / name).exists()}
    assert all((ROOT / name).exists() for name in mounted - declared)


def _compose_volumes() -> list[str]:
    return re.findall(r"^  (\w+):$", COMPOSE_FILE.read_text().partition("\nvolumes:\n")[2], re.MULTILINE)


def _properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)

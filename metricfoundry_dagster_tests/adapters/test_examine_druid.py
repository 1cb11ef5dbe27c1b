"""The doctor at a real Druid, and at one in which each thing in turn is wrong."""

import socket
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metricfoundry_dagster.adapters.druid_http import DruidAccess
from metricfoundry_dagster.adapters.druid_parts import DruidAddresses
from metricfoundry_dagster.adapters.examine_druid import examine_druid
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.checks import Check
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster_tests.fakes.http_server import Answer, http_server
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.servers.druid import Druid
from metricfoundry_dagster_tests.servers.minio import Minio

ALL = [
    "druid overlord",
    "druid extensions",
    "druid workers",
    "druid reads files",
    "druid coordinator",
    "druid historicals",
    "druid broker",
    "druid clock",
]
STATUS, WORKERS, SAMPLER = "/status", "/druid/indexer/v1/workers", "/druid/indexer/v1/sampler"
SERVERS, LEADER, SQL = "/druid/coordinator/v1/servers?simple", "/druid/coordinator/v1/leader", "/druid/v2/sql"
MODULES = [
    "org.apache.druid.data.input.parquet.ParquetExtensionsModule",
    "org.apache.druid.data.input.s3.S3InputSourceDruidModule",
]


def well() -> dict[str, Answer]:
    """What a Druid answers in which nothing is wrong."""
    historical = {"type": "historical", "currSize": 10, "maxSize": 5 * 1024**3}
    return {
        STATUS: Answer({"version": "33.0.0", "modules": [{"name": name} for name in MODULES]}),
        WORKERS: Answer([{"worker": {"capacity": 3}, "currCapacityUsed": 1}]),
        SAMPLER: Answer({"numRowsRead": 1, "numRowsIndexed": 1}),
        SERVERS: Answer([historical, {"type": "indexer-executor", "currSize": 0, "maxSize": 0}]),
        LEADER: Answer(text="http://127.0.0.1:8081"),
        SQL: Answer([[datetime.now(UTC).isoformat()]]),
    }


class S3LikeStore(MemoryStore):
    """A store whose addresses are those of a bucket."""

    def uri(self, root: Root, key: str) -> str:
        return f"s3://bucket/{key}"


def checks(url: str, store: ObjectStore | None = None, access: DruidAccess | None = None) -> dict[str, Check]:
    """The checks by name, of servers that all answer at one address."""
    access = access or DruidAccess(patience_seconds=0.1)
    found = list(examine_druid(DruidAddresses(url, url, url), access, store or S3LikeStore()))
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def examine(change: Callable[[dict[str, Answer]], Any], store: ObjectStore | None = None) -> dict[str, Check]:
    """The checks that are not well on a Druid in which something was changed."""
    answers = deepcopy(well())
    change(answers)
    with http_server(lambda _, path: answers[path]) as url:
        found = checks(url, store)
    return {name: check for name, check in found.items() if check.verdict != "ok"}


@pytest.mark.servers
def test_a_real_druid_is_well_and_nothing_is_left_in_the_bucket(druid: Druid, minio: Minio) -> None:
    bucket = minio.create_bucket()
    store = FsspecStore({Root.ARTIFACTS: f"s3://{bucket}/a folder"}, s3=minio.options)
    addresses = DruidAddresses(druid.overlord_url, druid.broker_url, druid.coordinator_url)
    found = {check.name: check for check in examine_druid(addresses, DruidAccess(), store)}
    assert [(name, check.verdict) for name, check in found.items()] == [(name, "ok") for name in ALL]
    assert minio.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.servers
def test_a_bucket_that_druid_may_not_read_is_seen(druid: Druid, minio: Minio) -> None:
    """Its sampler really reads: here our object lies in another place than the address says."""

    class ElsewhereStore(FsspecStore):
        def uri(self, root: Root, key: str) -> str:
            return super().uri(root, key).replace("here/", "there/")

    store = ElsewhereStore({Root.ARTIFACTS: f"s3://{minio.create_bucket()}/here"}, s3=minio.options)
    addresses = DruidAddresses(druid.overlord_url, druid.broker_url, druid.coordinator_url)
    found = {check.name: check for check in examine_druid(addresses, DruidAccess(), store)}
    assert [name for name, check in found.items() if check.verdict != "ok"] == ["druid reads files"]
    assert "druid.s3" in found["druid reads files"].next_step


def test_a_druid_that_answers_as_it_should_is_well() -> None:
    assert examine(lambda answers: answers) == {}


@pytest.mark.parametrize(
    ("path", "answer", "name", "verdict", "step"),
    [
        (
            STATUS,
            Answer({"version": "29.0.1", "modules": [{"name": each} for each in MODULES]}),
            "druid overlord",
            "failed",
            "30",
        ),
        (STATUS, Answer({"version": "33.0.0", "modules": [{"name": MODULES[0]}]}), "druid extensions", "failed", "druid-s3-ext"),
        (STATUS, Answer({"version": "33.0.0", "modules": [{"name": MODULES[1]}]}), "druid extensions", "failed", "druid-parquet"),
        (WORKERS, Answer([]), "druid workers", "failed", "Indexer"),
        (WORKERS, Answer([{"worker": {"capacity": 1}}]), "druid workers", "warning", "druid.worker.capacity"),
        (SAMPLER, Answer({"error": "AccessDenied"}, 400), "druid reads files", "failed", "druid.s3"),
        (SAMPLER, Answer({"numRowsRead": 0}), "druid reads files", "failed", "druid.s3"),
        (LEADER, Answer({}, 404), "druid coordinator", "failed", "ZooKeeper"),
        (SERVERS, Answer([]), "druid historicals", "failed", "segmentCache"),
        (
            SERVERS,
            Answer([{"type": "historical", "currSize": 95, "maxSize": 100}]),
            "druid historicals",
            "warning",
            "segmentCache",
        ),
        (SQL, Answer([[(datetime.now(UTC) - timedelta(hours=1)).isoformat()]]), "druid clock", "warning", "time server"),
        (SQL, Answer({"error": "no"}, 400), "druid broker", "failed", "log"),
    ],
)
def test_what_is_wrong_is_named_alone_with_its_step(path: str, answer: Answer, name: str, verdict: str, step: str) -> None:
    found = examine(lambda answers: answers.update({path: answer}))
    assert [(each, check.verdict) for each, check in found.items()] == [(name, verdict)]
    assert step in found[name].next_step


def test_a_wrong_password_names_its_settings() -> None:
    with http_server(lambda *_: Answer({"error": "no"}, 401)) as url:
        found = checks(url, access=DruidAccess("someone", "canary-word", patience_seconds=0.1))
    assert [check.verdict for check in found.values()] == ["failed"] * 3
    assert all("METRICFOUNDRY_DRUID_PASSWORD" in check.next_step for check in found.values())
    assert "canary" not in str(found)


def test_servers_that_are_stopped_are_told_one_by_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = checks(f"http://127.0.0.1:{port}")
    assert list(found) == ["druid overlord", "druid coordinator", "druid broker"]
    assert all(check.verdict == "failed" and "_URL, and that the server is up" in check.next_step for check in found.values())


def test_another_server_at_the_address_is_seen() -> None:
    with http_server(lambda *_: Answer(text="<html>hello</html>")) as url:
        found = checks(url)
    assert {name: check.verdict for name, check in found.items()}["druid overlord"] == "failed"
    assert "another server" in found["druid overlord"].next_step


def test_without_a_bucket_no_extension_for_it_is_needed_but_a_shared_disk() -> None:
    def change(answers: dict[str, Answer]) -> None:
        answers[STATUS] = Answer({"version": "33.0.0", "modules": [{"name": MODULES[0]}]})
        answers[SAMPLER] = Answer({"error": "no such file"}, 400)

    found = examine(change, MemoryStore())
    assert list(found) == ["druid reads files"]
    assert "share this disk" in found["druid reads files"].next_step


def test_a_store_that_is_away_is_not_held_against_druid() -> None:
    store = S3LikeStore()
    store.away = True
    found = examine(lambda answers: answers, store)
    assert [(name, check.verdict) for name, check in found.items()] == [("druid reads files", "warning")]

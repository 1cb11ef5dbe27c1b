"""The whole flow as an operator runs it on servers: `up` with its stores on S3, catalog and Dagster in PostgreSQL.

Each of the three roots is a bucket without a prefix. Everything is looked at from outside: by the command line and
this process, by Dagster's GraphQL, and in the database.
"""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests

from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster_tests.running_instance import RunningInstance, running_instance
from metricfoundry_dagster_tests.servers.druid import Druid
from metricfoundry_dagster_tests.servers.minio import Minio
from metricfoundry_dagster_tests.servers.postgresql import Postgresql

pytestmark = pytest.mark.servers

_MADE = """
query ($keys: [String!], $job: String!) {
  assetNodes(pipeline: {pipelineName: $job, repositoryName: "__repository__", repositoryLocationName: "metricfoundry_dagster"}) {
    assetKey { path }
    assetMaterializations(partitions: $keys, limit: 10) { partition runId }
    assetChecksOrError { ... on AssetChecks { checks { name } } }
  }
}"""
_CHECKED = """
query ($asset: AssetKeyInput!, $check: String!, $key: String!) {
  assetCheckExecutions(assetKey: $asset, checkName: $check, partition: $key, limit: 10) { status evaluation { success } }
}"""
_CHECKS = {
    "raw_object": {"bytes_intact"},
    "staged_parquet": {"rows_reconcile"},
    "validated_frame": {"contract_holds", "schema_drift"},
    "profile_report": {"thresholds_hold", "volume_in_line"},
    "druid_datasource": {"rows_served"},
}
_CONTRACT = """
name: orders
columns:
  - name: amount
    type: double
    minimum: 0
"""


@dataclass(frozen=True, slots=True)
class Operated:
    """A running instance with what an operator of its servers has in hand."""

    instance: RunningInstance
    s3: Any
    database_url: str
    bucket: str
    secrets: tuple[str, ...]

    def put(self, key: str, content: bytes) -> None:
        """Put an object into the drop zone in one request."""
        self.s3.put_object(Bucket=self.bucket, Key=f"incoming/{key}", Body=content)

    def tell(self, *arguments: str) -> Any:
        """What a command says as JSON."""
        done = self.instance.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def count(self, table: str, where: str = "") -> int:
        """Rows of a table, by SQL over what is served; asked by this process, since a command of its own takes seconds."""
        [(rows,)] = self.instance.ports.engine.query(f'SELECT COUNT(*) AS n FROM "{table}" {where}', 1).rows
        assert isinstance(rows, int)
        return rows

    def ask(self, query: str, **variables: object) -> Any:
        """Ask Dagster's GraphQL."""
        answer = requests.post(f"{self.instance.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows out of the database, past all of our own code."""
        with closing(psycopg2.connect(self.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())


@pytest.fixture(scope="module", params=["duckdb", "druid"])
def operated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql: Postgresql, minio: Minio
) -> Iterator[Operated]:
    """One instance for all tests of this module, on buckets and a database of its own, serving by DuckDB or by Druid."""
    druid: Druid | None = request.getfixturevalue("druid") if request.param == "druid" else None
    own, database_url = secrets.token_hex(6), postgresql.create_database()
    changes: dict[str, object] = {
        "database_url": database_url,
        "s3_endpoint_url": minio.endpoint_url,
        "s3_access_key_id": minio.access_key,
        "s3_secret_access_key": minio.secret_key,
        "s3_region": "us-east-1",
        **{f"{root}_root": f"s3://mf-{root}-{own}" for root in ("uploads", "artifacts", "reports")},
        **({"druid_overlord_url": druid.overlord_url, "druid_broker_url": druid.broker_url} if druid else {}),
    }
    folder = tmp_path_factory.mktemp(request.param)
    instance = RunningInstance(folder, **changes)
    assert instance.run("prepare").returncode == 0
    instance.settings.contracts_dir.mkdir(parents=True, exist_ok=True)
    with closing(minio.client()) as s3, running_instance(folder, **changes) as running:
        words = (postgresql.password, minio.secret_key)
        yield Operated(running, s3, database_url, f"mf-uploads-{own}", words)


@pytest.fixture
def name() -> str:
    """A datasource that no other test has: Druid is shared by all of them."""
    return new_name()


def new_name() -> str:
    return f"t_{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def served(operated: Operated) -> Job:
    """The job of a file of which some rows cannot be read and some break the contract."""
    name = new_name()
    (operated.instance.settings.contracts_dir / f"{name}.yaml").write_text(_CONTRACT.replace("orders", name))
    operated.put(f"{name}/with spaces ä.csv", orders(2_000, negative=5, ragged=3))
    return completed(operated, name)


def orders(good: int, *, negative: int = 0, ragged: int = 0) -> bytes:
    """A CSV of orders: rows that are good, that break the contract, and that cannot be read."""
    lines = ["id,placed_at,amount", *(f"{i},2026-01-{i % 28 + 1:02}T10:00:00,{i}.5" for i in range(good))]
    lines += [f"{good + i},2026-02-01T00:00:00,-1.0" for i in range(negative)]
    lines += ["one,field,too,many"] * ragged
    return ("\n".join(lines) + "\n").encode()


def completed(operated: Operated, datasource: str, datasets: int = 1) -> Job:
    """Wait until so many datasets are registered and the newest has completed."""

    def all_are_there() -> bool:
        return len(operated.instance.ports.catalog.datasets(DatasetFilter(datasource=datasource, limit=10))) == datasets

    operated.instance.wait_until(all_are_there, f"{datasets} datasets of {datasource} are registered")
    job = operated.instance.wait_for_end(datasource)
    assert job.state is JobState.COMPLETED, job.error
    return job


def datasource_of(job: Job) -> str:
    """The name in a dataset's id."""
    return job.dataset_id.partition("--")[0]


def test_the_rows_that_sql_counts_are_those_of_the_ledger(operated: Operated, served: Job) -> None:
    """Raw = staged + rejects, staged = valid + quarantine, valid = served, by the command line in another process."""
    shown = operated.tell("datasets", "show", served.dataset_id)
    stages = {each["stage"]: each for each in shown["stages"]}
    assert set(stages) == set(_CHECKS)
    assert all(each["passed"] for each in stages.values())
    counts = {name: (each["rows_out"], each["rows_rejected"]) for name, each in stages.items()}
    assert counts["staged_parquet"] == (2_005, 3)
    assert counts["validated_frame"] == (2_000, 5)
    assert counts["druid_datasource"][0] == 2_000
    table = datasource_of(served)
    assert shown["served_as"] == [{"name": table, "rows": 2_000}]
    sql = f'SELECT COUNT(*) AS n, SUM("amount") AS total, MIN("amount") AS least FROM "{table}"'
    assert operated.tell("query", sql)["rows"] == [[2_000, sum(range(2_000)) + 1_000.0, 0.5]]


def test_rows_put_aside_and_the_report_are_at_hand(operated: Operated, served: Job) -> None:
    table = datasource_of(served)
    assert operated.tell("datasets", "rejects", table)["total"] == 3
    quarantine = operated.tell("datasets", "quarantine", table)
    assert quarantine["total"] == 5
    assert {row["code"] for row in quarantine["rows"]} == {"contract.below_minimum"}
    address = urlsplit(operated.tell("datasets", "report", table)["report"])
    assert address.netloc == operated.bucket.replace("uploads", "reports")
    report = operated.s3.get_object(Bucket=address.netloc, Key=address.path.lstrip("/"))["Body"].read()
    assert b"<html" in report
    assert served.dataset_id in {each["dataset_id"] for each in operated.tell("datasets", "list", "--limit", "1000")["datasets"]}


def test_dagster_shows_five_assets_and_seven_checks_of_the_partition(operated: Operated, served: Job) -> None:
    nodes = operated.ask(_MADE, keys=[served.dataset_id], job="dataset_job")["assetNodes"]
    checks = {node["assetKey"]["path"][0]: {each["name"] for each in node["assetChecksOrError"]["checks"]} for node in nodes}
    assert checks == _CHECKS
    for node in nodes:
        assert node["assetMaterializations"] == [{"partition": served.dataset_id, "runId": served.run_id}]
        for check in checks[node["assetKey"]["path"][0]]:
            found = operated.ask(_CHECKED, asset={"path": node["assetKey"]["path"]}, check=check, key=served.dataset_id)
            assert [(each["status"], each["evaluation"]["success"]) for each in found["assetCheckExecutions"]] == [
                ("SUCCEEDED", True)
            ]


def test_runs_and_catalog_lie_in_two_schemas_of_one_postgresql(operated: Operated, served: Job) -> None:
    assert operated.select("SELECT status FROM dagster.runs WHERE run_id = %s", served.run_id) == [("SUCCESS",)]
    assert operated.select("SELECT state FROM public.jobs WHERE job_id = %s", served.job_id) == [("completed",)]
    home = operated.instance.settings.home
    assert [path.name for path in home.rglob("*.db")] == []


def test_no_password_is_written_down_or_shown(operated: Operated, served: Job) -> None:
    """Not in a file of the home, in a command line, or on the page of the UI that shows the instance."""
    home = operated.instance.settings.home
    seen = {
        str(path): path.read_bytes() for path in (home, operated.instance.folder) for path in path.rglob("*") if path.is_file()
    }
    seen["instance"] = operated.ask("{ instance { info } }")["instance"]["info"].encode()
    seen["processes"] = b"".join("\n".join(process.cmdline()).encode() for process in operated.instance.processes())
    assert str(home / "dagster" / "dagster.yaml") in seen
    assert b"WarmRunLauncher" in seen["instance"]
    found = [place for place, content in seen.items() for word in operated.secrets if word.encode() in content]
    assert found == []


def test_an_object_that_was_put_in_parts_is_served_whole(operated: Operated, name: str) -> None:
    """A multipart upload has an ETag that is no checksum."""
    content, part_bytes = orders(300_000), 5 * 1024**2
    target = {"Bucket": operated.bucket, "Key": f"incoming/{name}/parts.csv"}
    upload = operated.s3.create_multipart_upload(**target)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(content), part_bytes), start=1):
        body = content[start : start + part_bytes]
        etag = operated.s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    assert len(parts) > 1
    operated.s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    completed(operated, name)
    assert operated.count(name) == 300_000


def test_a_new_version_takes_the_place_of_the_old_and_can_be_taken_back(operated: Operated, name: str) -> None:
    """By overwriting the same key."""
    operated.put(f"{name}/a.csv", orders(300))
    completed(operated, name)
    assert operated.count(name) == 300
    operated.put(f"{name}/a.csv", orders(200))
    completed(operated, name, datasets=2)
    assert operated.count(name) == 200
    operated.tell("datasets", "rollback", name)
    assert operated.count(name) == 300


def test_what_is_appended_is_there_once_each(operated: Operated, name: str) -> None:
    """The first by the command line, from another bucket's key than the drop zone; the rest dropped, some at once."""
    operated.s3.put_object(Bucket=operated.bucket, Key=f"elsewhere/{name}.csv", Body=orders(100))
    done = operated.tell("ingest", f"s3://{operated.bucket}/elsewhere/{name}.csv", "--datasource", name, "--mode", "append")
    assert done["status"] == "ok"
    assert operated.count(name) == 100
    for part in range(3):
        operated.put(f"{name}/{part}.csv", orders(10 + part))
    completed(operated, name, datasets=4)
    operated.instance.wait_until(lambda: operated.count(name) == 133, "all four are served")
    assert operated.count(name, "WHERE amount < 1") == 4


def test_doctor_finds_everything_well(operated: Operated) -> None:
    done = operated.instance.run("doctor")
    assert done.returncode == 0, done.stdout
    assert not re.search(r"^failed", done.stdout, re.MULTILINE)

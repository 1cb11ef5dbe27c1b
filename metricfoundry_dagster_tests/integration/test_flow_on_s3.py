"""The same flow with its three roots in three buckets, and its catalog in PostgreSQL: nothing changes but settings."""

import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import fsspec
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from metricfoundry_dagster.actions.discover import discover
from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_ports
from metricfoundry_dagster_tests.embedded import embedded_settings
from metricfoundry_dagster_tests.servers.postgresql import Postgresql, postgresql

__all__ = ["postgresql"]  # a fixture


@pytest.fixture
def s3() -> Iterator[S3Options]:
    """The S3 service that the environment names, or one in this process that speaks S3 over real HTTP."""
    if endpoint := os.environ.get("METRICFOUNDRY_TEST_S3_ENDPOINT"):
        access_key, secret_key = (os.environ[f"METRICFOUNDRY_TEST_S3_{name}"] for name in ("ACCESS_KEY", "SECRET_KEY"))
        yield S3Options(endpoint, access_key, secret_key, "us-east-1")
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield S3Options(f"http://127.0.0.1:{port}", "test-key", "test-secret", "us-east-1")
    server.stop()


@pytest.fixture
def settings(tmp_path: Path, s3: S3Options, postgresql: Postgresql) -> Settings:
    """Three buckets and a database of this test."""
    system = fsspec.filesystem("s3", **s3.for_fsspec())
    roots = {}
    for root in ("uploads", "artifacts", "reports"):
        bucket = f"{root}-{uuid.uuid4().hex}"
        system.call_s3("create_bucket", Bucket=bucket)
        roots[f"{root}_root"] = f"s3://{bucket}/below"
    assert s3.secret_key is not None
    changes = {
        **roots,
        "s3_endpoint_url": s3.endpoint_url,
        "s3_access_key_id": s3.access_key,
        "s3_secret_access_key": SecretStr(s3.secret_key),
        "s3_region": s3.region,
        "database_url": postgresql.create_database(),
    }
    return embedded_settings(tmp_path).model_copy(update=changes)


@pytest.mark.servers
def test_an_object_put_into_a_bucket_is_queryable(settings: Settings, s3: S3Options, few_flights_csv: Path) -> None:
    """Put by any S3 client, found by two looks, taken through Dagster's job, served; its lines lie in the buckets."""
    ports = build_ports(settings)
    key = f"{settings.uploads_root.removeprefix('s3://')}/incoming/flights/more flights ä.csv"
    fsspec.filesystem("s3", **s3.for_fsspec()).pipe_file(key, few_flights_csv.read_bytes() + b"one,field,too,few\n")
    assert discover(ports, max_registrations=10, quiet=timedelta(0)).registered == ()
    [dataset] = discover(ports, max_registrations=10, quiet=timedelta(0)).registered
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("datasets", [dataset.dataset_id])
        job = build_definitions(settings=settings, make_ports=lambda: ports).resolve_job_def("dataset_job")
        assert job.execute_in_process(instance=instance, partition_key=dataset.dataset_id).success
    [(_, done)] = ports.catalog.datasets(DatasetFilter(datasource="flights"))
    assert (done.state, done.progress_percent) == (JobState.COMPLETED, 100)
    assert ports.engine.query("SELECT count(*), count(DISTINCT _dataset_id) FROM flights", 1).rows == [(2_000, 1)]
    staged = read_product(dataset.dataset_id, Stage.STAGED_PARQUET, ports)
    assert staged is not None
    assert (staged.tables[0].rows_in, staged.rows_out, staged.rows_rejected) == (2_001, 2_000, 1)
    assert all(ports.store.uri(file.root, file.key).startswith("s3://artifacts-") for file in staged.files)

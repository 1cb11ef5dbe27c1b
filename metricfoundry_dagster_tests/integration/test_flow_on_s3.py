"""The same flow with its three roots in three buckets, and its catalog in PostgreSQL: nothing changes but settings."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from metricfoundry_dagster.actions.discover import discover
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_ports
from metricfoundry_dagster_tests.embedded import embedded_settings
from metricfoundry_dagster_tests.servers.minio import Minio
from metricfoundry_dagster_tests.servers.postgresql import Postgresql


@pytest.fixture
def settings(tmp_path: Path, minio: Minio, postgresql: Postgresql) -> Settings:
    """Three buckets and a database of this test."""
    changes = {
        **{f"{root}_root": f"s3://{minio.create_bucket(root)}/below" for root in ("uploads", "artifacts", "reports")},
        "s3_endpoint_url": minio.endpoint_url,
        "s3_access_key_id": minio.access_key,
        "s3_secret_access_key": SecretStr(minio.secret_key),
        "s3_region": minio.options.region,
        "database_url": postgresql.create_database(),
    }
    return embedded_settings(tmp_path).model_copy(update=changes)


@pytest.mark.servers
def test_an_object_put_into_a_bucket_is_queryable(settings: Settings, minio: Minio, few_flights_csv: Path) -> None:
    """Put by any S3 client, found by two looks, taken through Dagster's job, served; its lines lie in the buckets."""
    ports = build_ports(settings)
    bucket, _, prefix = settings.uploads_root.removeprefix("s3://").partition("/")
    content = few_flights_csv.read_bytes() + b"one,field,too,few\n"
    minio.client().put_object(Bucket=bucket, Key=f"{prefix}/incoming/flights/more flights ä.csv", Body=content)
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

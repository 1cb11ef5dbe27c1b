"""The stores on which the suites of this folder run: the fake, a local directory, and an S3 service."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from deploy.servers.build import require_built
from deploy.servers.errors import ServerUnavailableError
from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster.adapters.fsspec_sources import FsspecSources
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster_tests.fakes.memory_sources import MemorySources
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.port_contracts.stores.world import World


@pytest.fixture(scope="session")
def s3(request: pytest.FixtureRequest) -> Iterator[S3Options]:
    """MinIO, which is what people run; where it cannot be had, moto in this process, over real HTTP as well."""
    try:
        require_built("minio")
    except ServerUnavailableError:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        _, port = server.get_host_and_port()
        yield S3Options(f"http://127.0.0.1:{port}", "test-key", "test-secret", "us-east-1")
        server.stop()
    else:
        yield request.getfixturevalue("minio").options


@pytest.fixture(params=["memory", "local", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    scratch_dir = tmp_path / "scratch"
    if request.param == "memory":
        memory = MemoryStore()
        return World(memory, MemorySources(memory), scratch_dir)
    if request.param == "local":
        roots = {root: str(tmp_path / root) for root in Root}
        return World(FsspecStore(roots, scratch_dir=scratch_dir), FsspecSources(), scratch_dir)
    s3: S3Options = request.getfixturevalue("s3")
    bucket = f"test-{uuid.uuid4().hex}"
    fsspec.filesystem("s3", **s3.for_fsspec()).call_s3("create_bucket", Bucket=bucket)
    roots = {root: f"s3://{bucket}/some/{root}" for root in Root}
    return World(FsspecStore(roots, s3=s3, scratch_dir=scratch_dir), FsspecSources(s3=s3), scratch_dir)


@pytest.fixture
def store(world: World) -> ObjectStore:
    return world.store

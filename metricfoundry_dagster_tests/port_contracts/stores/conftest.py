"""The stores on which the suites of this folder run: the fake, a local directory, S3 in process, and S3 for real.

Moto speaks S3 over real HTTP. With METRICFOUNDRY_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY the suites run on that
endpoint as well.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster.adapters.fsspec_sources import FsspecSources
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster_tests.fakes.memory_sources import MemorySources
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.port_contracts.stores.world import World


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Options]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield S3Options(f"http://127.0.0.1:{port}", "test-key", "test-secret", "us-east-1")
    server.stop()


@pytest.fixture(params=["memory", "local", "s3-moto", "s3-real"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    scratch_dir = tmp_path / "scratch"
    if request.param == "memory":
        memory = MemoryStore()
        return World(memory, MemorySources(memory), scratch_dir)
    if request.param == "local":
        roots = {root: str(tmp_path / root) for root in Root}
        return World(FsspecStore(roots, scratch_dir=scratch_dir), FsspecSources(), scratch_dir)
    s3 = request.getfixturevalue("moto_s3") if request.param == "s3-moto" else _real_s3()
    bucket = f"test-{uuid.uuid4().hex}"
    fsspec.filesystem("s3", **s3.for_fsspec()).call_s3("create_bucket", Bucket=bucket)
    roots = {root: f"s3://{bucket}/some/{root}" for root in Root}
    return World(FsspecStore(roots, s3=s3, scratch_dir=scratch_dir), FsspecSources(s3=s3), scratch_dir)


@pytest.fixture
def store(world: World) -> ObjectStore:
    return world.store


def _real_s3() -> S3Options:
    endpoint = os.environ.get("METRICFOUNDRY_TEST_S3_ENDPOINT")
    if not endpoint:
        pytest.skip("METRICFOUNDRY_TEST_S3_ENDPOINT names no S3 service")
    return S3Options(
        endpoint,
        os.environ["METRICFOUNDRY_TEST_S3_ACCESS_KEY"],
        os.environ["METRICFOUNDRY_TEST_S3_SECRET_KEY"],
        "us-east-1",
    )

"""Buckets are made once, whoever asks, and nothing else of a service is touched."""

from collections.abc import Iterator

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster.adapters.s3_buckets import buckets_of, make_bucket
from metricfoundry_dagster.domain.errors import WorldError


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_the_buckets_of_roots_are_each_named_once() -> None:
    roots = ("s3://one", "s3://two/below/it/", "/a/directory", "s3://one/artifacts", "gs://other")
    assert buckets_of(roots) == ["one", "two"]


@pytest.mark.parametrize("region", [None, "us-east-1", "eu-central-1"])
def test_a_bucket_is_made_where_it_is_missing(endpoint: str, region: str | None) -> None:
    s3 = S3Options(endpoint, "key", "secret", region)
    name = f"made-{region or 'anywhere'}"
    assert (make_bucket(name, s3), make_bucket(name, s3)) == (True, False)
    fsspec.filesystem("s3", **s3.for_fsspec()).pipe_file(f"{name}/a", b"1")
    assert make_bucket(name, s3) is False
    assert fsspec.filesystem("s3", **s3.for_fsspec()).cat_file(f"{name}/a") == b"1"


def test_a_service_that_is_away_is_the_worlds_error_without_a_secret() -> None:
    with pytest.raises(WorldError, match=r"store\.unreachable") as caught:
        make_bucket("any", S3Options("http://127.0.0.1:1", "key", "hunter2", None))
    assert "hunter2" not in str(caught.value)

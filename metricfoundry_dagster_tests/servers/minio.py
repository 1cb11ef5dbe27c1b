"""The MinIO of a session of tests, in which each makes buckets of its own."""

import secrets
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.servers.run_minio import REGION, endpoint_url, s3_client
from deploy.servers.server import Site
from deploy.servers.stack import Stack
from metricfoundry_dagster.adapters.file_addresses import S3Options
from metricfoundry_dagster_tests.servers.session_stack import require


@dataclass(frozen=True, slots=True)
class Minio:
    """A running S3 service with the buckets of `deploy/buckets.txt`."""

    site: Site

    @property
    def endpoint_url(self) -> str:
        """Its address."""
        return endpoint_url(self.site)

    @property
    def access_key(self) -> str:
        """The key id that has all rights."""
        return self.site.secrets["minio_access_key"]

    @property
    def secret_key(self) -> str:
        """The secret that belongs to it."""
        return self.site.secrets["minio_secret_key"]

    @property
    def options(self) -> S3Options:
        """All of it as the stores want to have it."""
        return S3Options(self.endpoint_url, self.access_key, self.secret_key, REGION)

    def client(self) -> Any:
        """A client of boto3, as a user would have it."""
        return s3_client(self.site)

    def create_bucket(self, prefix: str = "test") -> str:
        """A new, empty bucket; its name."""
        name = f"{prefix}-{secrets.token_hex(8)}"
        client = self.client()
        client.create_bucket(Bucket=name)
        client.close()
        return name


@pytest.fixture(scope="session")
def minio(session_stack: Stack) -> Minio:
    """One S3 service for all tests of the session."""
    require("minio")
    session_stack.up(["minio"])
    return Minio(session_stack.site)

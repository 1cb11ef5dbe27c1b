"""The Apache Druid of a session of tests. It reads from and writes to the MinIO of the session."""

from dataclasses import dataclass

import pytest

from deploy.servers.run_druid import broker_url, overlord_url
from deploy.servers.server import Site
from deploy.servers.stack import Stack
from metricfoundry_dagster_tests.servers.minio import Minio
from metricfoundry_dagster_tests.servers.session_stack import require


@dataclass(frozen=True, slots=True)
class Druid:
    """A running Druid that asks for no password; tests share it, so each has datasources of its own."""

    site: Site

    @property
    def overlord_url(self) -> str:
        """Where ingestion tasks are submitted."""
        return overlord_url(self.site)

    @property
    def coordinator_url(self) -> str:
        """Where one asks for segments: the same process as the Overlord."""
        return overlord_url(self.site)

    @property
    def broker_url(self) -> str:
        """Where queries are answered."""
        return broker_url(self.site)


@pytest.fixture(scope="session")
def druid(session_stack: Stack, minio: Minio) -> Druid:
    """One Druid for all tests of the session."""
    require("druid")
    session_stack.up(["druid"])
    return Druid(minio.site)

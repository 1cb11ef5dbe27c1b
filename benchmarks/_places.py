"""Where a benchmark of runs does its work: embedded, on PostgreSQL and S3, or on these with Druid."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deploy.servers.run_druid import broker_url, overlord_url
from deploy.servers.run_minio import REGION, endpoint_url, s3_client
from deploy.servers.run_postgresql import execute, postgresql_url
from deploy.servers.run_stack import temporary_stack
from deploy.servers.stack import Stack
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster_tests.embedded import embedded_settings

_SERVERS = {"embedded": (), "postgresql": ("postgresql", "minio"), "druid": ("postgresql", "minio", "druid")}


class Place:
    """One place. Every piece of work gets fresh stores and a fresh database in it."""

    def __init__(self, name: str, stack: Stack | None, folder: Path) -> None:
        self.name = name
        self._stack = stack
        self._folder = folder

    def fresh_settings(self) -> dict[str, Any]:
        """Settings, by name, of stores and a database that hold nothing yet."""
        if self._stack is None:
            return {}
        site, mark = self._stack.site, secrets.token_hex(4)
        execute(site, f"CREATE DATABASE bench_{mark}")
        buckets = {root: f"bench-{root}-{mark}" for root in ("uploads", "artifacts", "reports")}
        client = s3_client(site)
        for bucket in buckets.values():
            client.create_bucket(Bucket=bucket)
        client.close()
        settings: dict[str, Any] = {f"{root}_root": f"s3://{bucket}" for root, bucket in buckets.items()}
        settings |= {
            "database_url": postgresql_url(site, f"bench_{mark}"),
            "s3_endpoint_url": endpoint_url(site),
            "s3_access_key_id": site.secrets["minio_access_key"],
            "s3_secret_access_key": site.secrets["minio_secret_key"],
            "s3_region": REGION,
        }
        if self.name == "druid":
            settings |= {"druid_overlord_url": overlord_url(site), "druid_broker_url": broker_url(site)}
        return settings

    def fresh_home(self) -> Settings:
        """All settings of a process on such stores, with a home of its own."""
        folder = self._folder / secrets.token_hex(4)
        return Settings(**{**embedded_settings(folder).model_dump(), **self.fresh_settings()})

    def servers(self, *names: str) -> list[psutil.Process]:
        """The processes of some of its servers."""
        pids = [self._stack.pid(name) for name in names] if self._stack else []
        return [psutil.Process(pid) for pid in pids if pid is not None]


@contextmanager
def place(name: str, folder: Path) -> Iterator[Place]:
    """A place with its servers running.

    Raises:
        ServersError: a server cannot be had on this machine.
    """
    if not _SERVERS[name]:
        yield Place(name, None, folder)
        return
    with temporary_stack() as stack:
        stack.up(_SERVERS[name])
        yield Place(name, stack, folder)

"""The PostgreSQL of a session of tests, in which each makes databases of its own."""

import secrets
from dataclasses import dataclass

import pytest

from deploy.servers.run_postgresql import execute, postgresql_url
from deploy.servers.server import Site
from deploy.servers.stack import Stack
from metricfoundry_dagster_tests.servers.session_stack import require


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A running cluster that asks for its password."""

    site: Site

    @property
    def port(self) -> int:
        """Where it listens on the loopback interface."""
        return self.site.ports["postgresql"]

    @property
    def password(self) -> str:
        """The password of the cluster's owner."""
        return self.site.secrets["postgresql"]

    def url(self, database: str) -> str:
        """The address of a database, as an operator would write it."""
        return postgresql_url(self.site, database)

    def create_database(self) -> str:
        """A new, empty database; its address."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run one statement as the cluster's owner, outside of any transaction."""
        execute(self.site, statement)


@pytest.fixture(scope="session")
def postgresql(session_stack: Stack) -> Postgresql:
    """One cluster for all tests of the session."""
    require("postgresql")
    session_stack.up(["postgresql"])
    return Postgresql(session_stack.site)

"""A real PostgreSQL for a session of tests: a cluster of its own, in a folder of its own, gone afterwards.

Needs PostgreSQL's programs (Debian: the package `postgresql`) and nothing that runs already. Tests that ask for
`postgresql` are skipped, with the reason, where there are none.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

_USER = "metricfoundry"
#: No data of a test outlives it, so nothing has to reach the disk.
_SETTINGS = {"listen_addresses": "127.0.0.1", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_STARTS = 3


class PostgresqlMissingError(Exception):
    """PostgreSQL cannot be started here; the message says why."""


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A running cluster that asks for its password."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """The address of a database, as an operator would write it."""
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """A new, empty database; its address."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run one statement as the cluster's owner, outside of any transaction."""
        connection = psycopg2.connect(self.url("postgres"))
        try:
            connection.autocommit = True
            connection.cursor().execute(statement)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """One cluster for all tests of the session; each makes databases of its own."""
    try:
        programs = _find_programs()
        account = _unprivileged_account()
    except PostgresqlMissingError as error:
        pytest.skip(str(error))
    with running_postgresql(programs, account) as server:
        yield server


@contextmanager
def running_postgresql(programs: Path, account: pwd.struct_passwd | None) -> Iterator[Postgresql]:
    """Start a cluster as `account`, None for ourselves, and stop it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="metricfoundry-postgresql-"))
    run = _Runner(programs, account)
    try:
        if account:
            os.chown(folder, account.pw_uid, account.pw_gid)
        password = secrets.token_urlsafe(12)
        _make_cluster(run, folder, password)
        port = _start(run, folder)
        try:
            yield Postgresql(port, password)
        finally:
            run("pg_ctl", "stop", "--pgdata", folder / "data", "--mode", "immediate", "--wait")
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class _Runner:
    programs: Path
    account: pwd.struct_passwd | None

    def __call__(self, program: str, *arguments: str | Path) -> None:
        command = [str(self.programs / program), *map(str, arguments)]
        identity: dict[str, Any] = {}
        if self.account:
            identity = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        # The server inherits its output, so a pipe would be held open as long as it runs.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", timeout=120, check=False, **identity
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{program} failed: {output.read().decode(errors='replace')}")


def _make_cluster(run: _Runner, folder: Path, password: str) -> None:
    password_file = folder / "password"
    password_file.write_text(password)
    if run.account:
        os.chown(password_file, run.account.pw_uid, run.account.pw_gid)
    run(
        "initdb",
        *("--pgdata", folder / "data", "--username", _USER, "--pwfile", password_file, "--auth", "scram-sha-256"),
        *("--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
    )


def _start(run: _Runner, folder: Path) -> int:
    """Start the server on a free port. Somebody else may take the port first: then another is tried."""
    settings = " ".join(f"-c {name}={value}" for name, value in (_SETTINGS | {"unix_socket_directories": folder}).items())
    for remaining in reversed(range(_STARTS)):
        port = _free_port()
        try:
            run(
                "pg_ctl",
                "start",
                "--pgdata",
                folder / "data",
                "--wait",
                "--log",
                folder / "log",
                "--options",
                f"-p {port} {settings}",
            )
        except RuntimeError:
            if not remaining:
                raise
        else:
            return port
    raise AssertionError("unreachable")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _find_programs() -> Path:
    """The folder of `initdb`; Debian keeps the programs of each version apart and out of the path."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        if all((folder / program).is_file() for program in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise PostgresqlMissingError("PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql/*/bin")


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom to run it as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresqlMissingError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")

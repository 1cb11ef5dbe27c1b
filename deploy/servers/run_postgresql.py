"""PostgreSQL as a server of the stack: a cluster of its own, which asks for its password and has no socket file."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg2

from deploy.servers.errors import ServerFailedError, ServerUnavailableError
from deploy.servers.find_programs import find_postgresql, unprivileged_account
from deploy.servers.locations import CONFIGURATION
from deploy.servers.processes import Launch
from deploy.servers.server import HOST, Server, Site

USER = "metricfoundry"
#: The database that a stack has from its start on: the catalog, with Dagster's storage in a schema of its own.
DATABASE = "metricfoundry"
#: What may be lost in a crash of the machine only. A commit still reaches the system before it is answered.
_NOT_DURABLE = ("-c", "fsync=off", "-c", "full_page_writes=off")


def postgresql_url(site: Site, database: str) -> str:
    """The address of a database, as an operator would write it."""
    return f"postgresql://{USER}:{site.secrets['postgresql']}@{HOST}:{site.ports['postgresql']}/{database}"


def execute(site: Site, statement: str) -> None:
    """Run one statement as the cluster's owner, outside of any transaction."""
    connection = psycopg2.connect(postgresql_url(site, "postgres"), connect_timeout=10)
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()


def _prepare(site: Site) -> Launch:
    programs, account = find_postgresql(), unprivileged_account()
    folder = site.make_folder("postgresql")
    _hand_over(folder, account)
    _require_reach(folder, account)
    if not (folder / "data").exists():
        _make_cluster(programs, folder, account, site.secrets["postgresql"])
    configuration = folder / "postgresql.conf"
    shutil.copyfile(CONFIGURATION / "postgresql" / "postgresql.conf", configuration)
    _hand_over(configuration, account)
    command = (
        programs / "postgres", "-D", folder / "data", "-p", str(site.ports["postgresql"]),
        "-c", f"config_file={configuration}", "-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories=",
        *(() if site.is_durable else _NOT_DURABLE),
    )  # fmt: skip
    return Launch(command, folder, {}, account)


def _make_cluster(programs: Path, folder: Path, account: pwd.struct_passwd | None, password: str) -> None:
    """Make the cluster aside: one whose making was interrupted is none."""
    part, password_file = folder / "data.part", folder / f"password-{secrets.token_hex(4)}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        _hand_over(password_file, account)
        command: list[str | Path] = [
            programs / "initdb", "--pgdata", part, "--username", USER, "--pwfile", password_file, "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions",
        ]  # fmt: skip
        _run_as(account, command, folder)
    finally:
        password_file.unlink(missing_ok=True)
    part.rename(folder / "data")


def _run_as(account: pwd.struct_passwd | None, command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        check=False,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        raise ServerFailedError(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr).strip()}")


def _hand_over(path: Path, account: pwd.struct_passwd | None) -> None:
    if account:
        os.chown(path, account.pw_uid, account.pw_gid)


def _require_reach(folder: Path, account: pwd.struct_passwd | None) -> None:
    """An account of its own may be kept out by a directory further up."""
    try:
        _run_as(account, ["true"], folder)
    except PermissionError:
        name = account.pw_name if account else "this user"
        message = f"PostgreSQL runs as {name}, who cannot enter {folder}: choose another directory for the servers"
        raise ServerUnavailableError(message) from None


def _is_healthy(site: Site) -> bool:
    try:
        execute(site, "SELECT 1")
    except psycopg2.OperationalError:
        return False
    return True


def _make_database(site: Site) -> None:
    with suppress(psycopg2.errors.DuplicateDatabase):
        execute(site, f"CREATE DATABASE {DATABASE}")


POSTGRESQL = Server(
    name="postgresql",
    ports=("postgresql",),
    prepare=_prepare,
    is_healthy=_is_healthy,
    complete=_make_database,
    # In PostgreSQL's own words; "smart" would wait for clients that stay.
    stop_signals={"fast": signal.SIGINT, "immediate": signal.SIGQUIT},
)

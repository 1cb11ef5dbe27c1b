"""The composition root: everything real, built out of the settings. The only module that imports adapters.

Imports lie inside the functions, so that loading the code location or printing a help text reaches for nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from metricfoundry_dagster.domain.checks import Check
from metricfoundry_dagster.domain.errors import MetricFoundryError, SettingsError, UserError, WorldError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster.ports.clock import Clock
from metricfoundry_dagster.ports.contract_files import ContractFiles
from metricfoundry_dagster.ports.object_store import ObjectStore
from metricfoundry_dagster.ports.runs import Runs
from metricfoundry_dagster.ports.serving_engine import ServingEngine
from metricfoundry_dagster.ports.sources import Sources
from metricfoundry_dagster.settings import Settings, variable_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from metricfoundry_dagster.adapters.dagster_home import DagsterHome
    from metricfoundry_dagster.adapters.dagster_runs import DagsterRuns
    from metricfoundry_dagster.adapters.druid_http import DruidAccess
    from metricfoundry_dagster.adapters.druid_parts import DruidAddresses
    from metricfoundry_dagster.adapters.file_addresses import S3Options

#: Connections to PostgreSQL that web server, code server, daemon and warm parent come to, and what a run adds.
_CONNECTIONS, _CONNECTIONS_OF_RUN = 12, 3
_DOCTORS_PATIENCE_SECONDS = 3.0


def build_ports(settings: Settings, *, only_source_roots: bool = False) -> Ports:
    """Everything that the flow and the actions reach of the world; the catalog's schema is brought up to date.

    With `only_source_roots` local sources must lie in the directories of that setting: so for whoever serves requests
    that come from elsewhere.

    Raises:
        WorldError: `catalog.unreachable`, or `store.unreachable` when the home cannot be made.
    """
    from metricfoundry_dagster.adapters.system_clock import SystemClock

    catalog, store, clock = build_catalog(settings), build_store(settings), SystemClock()
    return Ports(
        store=store,
        sources=build_sources(settings, only_source_roots=only_source_roots),
        catalog=catalog,
        engine=_build_engine(settings, catalog, store, clock),
        contracts=build_contracts(settings),
        clock=clock,
        limits=build_limits(settings),
    )


def build_runs(settings: Settings) -> Runs:
    """What carries jobs: Dagster when it answers, else a process of our own."""
    return _dagster_runs(settings)


def build_limits(settings: Settings) -> Limits:
    """The bounds on what comes in."""
    return Limits(**{field.name: getattr(settings, field.name) for field in fields(Limits)})


def build_catalog(settings: Settings) -> Catalog:
    """The catalog, its schema up to date.

    Raises:
        SettingsError: `settings.invalid` for an address of no database that can hold it.
        WorldError: `catalog.unreachable`, or `store.unreachable` when the home cannot be made.
    """
    from metricfoundry_dagster.adapters.catalog.open_catalog import open_catalog

    make_home(settings)
    try:
        catalog = open_catalog(settings.database_url)
    except UserError as error:
        raise SettingsError("settings.invalid", f"{variable_of('database_url')}: {error.record.message}") from None
    catalog.upgrade()
    return catalog


def build_store(settings: Settings) -> ObjectStore:
    """The object store with its three roots; nothing is connected to yet."""
    from metricfoundry_dagster.adapters.fsspec_store import FsspecStore

    roots = {
        Root.UPLOADS: settings.uploads_root,
        Root.ARTIFACTS: settings.artifacts_root,
        Root.REPORTS: settings.reports_root,
    }
    return FsspecStore(roots, s3=_s3_options(settings))


def prepare_before_forks(settings: Settings) -> None:
    """What children of this process need not do again. Nothing is connected to, nothing starts a thread."""
    from metricfoundry_dagster.adapters.catalog.rehearse import rehearse_catalog
    from metricfoundry_dagster.adapters.s3_system import rehearse_requests

    with suppress(MetricFoundryError):  # a run that needs the catalog says what is wrong with its address
        rehearse_catalog(settings.database_url)
    if any(getattr(settings, f"{root}_root").startswith("s3://") for root in Root):
        rehearse_requests()


@contextmanager
def compiling_for(engines: Sequence["Engine"]) -> Iterator[None]:
    """What this process asks of any database in the block is compiled for these too, which are not connected to."""
    from metricfoundry_dagster.adapters import compiled_ahead

    with compiled_ahead.compiling_for(engines):
        yield


def build_sources(settings: Settings, *, only_source_roots: bool) -> Sources:
    """What reads the addresses that people give."""
    from metricfoundry_dagster.adapters.fsspec_sources import FsspecSources

    return FsspecSources(s3=_s3_options(settings), source_roots=settings.source_roots if only_source_roots else None)


def build_contracts(settings: Settings) -> ContractFiles:
    """The contracts directory, and the contracts that come with the package."""
    from metricfoundry_dagster.adapters.contract_files import ContractFilesInDirectory

    return ContractFilesInDirectory(settings.contracts_dir)


def build_directory_store(directory: str) -> ObjectStore:
    """A store whose three roots are one directory: for commands that write where they are told to."""
    from metricfoundry_dagster.adapters.fsspec_store import FsspecStore

    return FsspecStore(dict.fromkeys(Root, directory))


def tidy_directory_store(directory: Path) -> None:
    """Remove what such a store needs only while it writes, when nobody else writes there."""
    from metricfoundry_dagster.adapters.object_keys import TEMPORARY_FOLDER

    with suppress(OSError):
        (directory / TEMPORARY_FOLDER).rmdir()


def make_buckets(settings: Settings, others: Iterable[str]) -> dict[str, bool]:
    """Make the S3 buckets of the three roots, and others; by name, whether it was made now.

    Raises:
        WorldError: `store.unreachable`.
    """
    from metricfoundry_dagster.adapters.s3_buckets import buckets_of, make_bucket

    names = [*buckets_of((settings.uploads_root, settings.artifacts_root, settings.reports_root)), *others]
    return {name: make_bucket(name, _s3_options(settings)) for name in dict.fromkeys(names)}


def examine_databases(settings: Settings) -> Iterator[Check]:
    """What `doctor` has to say of the catalog's database and of Dagster's; makes no table.

    Raises:
        SettingsError: `settings.invalid`.
    """
    from metricfoundry_dagster.adapters.catalog.engine import parse_address
    from metricfoundry_dagster.adapters.examine_postgresql import examine_catalog, examine_dagster_storage

    try:
        catalog = parse_address(settings.database_url)
    except UserError as error:
        raise SettingsError("settings.invalid", f"{variable_of('database_url')}: {error.record.message}") from None
    storage = _dagster_home(settings).storage
    yield from examine_catalog(catalog, _CONNECTIONS + _CONNECTIONS_OF_RUN * settings.max_concurrent_runs)
    if storage is not None:
        is_elsewhere = (storage.host, storage.port) != (catalog.host, catalog.port)
        yield from examine_dagster_storage(storage, is_elsewhere=is_elsewhere)


def examine_buckets(settings: Settings) -> Iterator[Check]:
    """What `doctor` has to say of those roots that lie on S3; what it writes there is gone afterwards."""
    from metricfoundry_dagster.adapters.examine_s3 import examine_s3

    roots = {root.value: getattr(settings, f"{root}_root") for root in Root}
    on_s3 = {name: address for name, address in roots.items() if address.startswith("s3://")}
    if on_s3:
        yield from examine_s3(on_s3, _s3_options(settings))


def examine_serving(settings: Settings) -> Iterator[Check]:
    """What `doctor` has to say of Druid, where datasets are served there."""
    from metricfoundry_dagster.adapters.examine_druid import examine_druid

    if settings.druid_overlord_url is not None:
        addresses, access = _druid_servers(settings, settings.druid_overlord_url)
        yield from examine_druid(addresses, replace(access, patience_seconds=_DOCTORS_PATIENCE_SECONDS), build_store(settings))


def start_of(pid: int) -> str | None:
    """When a living process began, as no clock changes it; None when there is none of this number, or it has ended."""
    from metricfoundry_dagster.adapters import process_start

    return process_start.start_of(pid)


def find_warm_parent(settings: Settings) -> bool:
    """Whether the process from which runs are forked is there."""
    from metricfoundry_dagster.adapters.warm_process import is_warm

    return is_warm(_dagster_home(settings).folder)


def find_dagster(settings: Settings) -> tuple[str | None, bool]:
    """Where the web server of this home should be, None when nothing says so, and whether it answers there."""
    runs = _dagster_runs(settings)
    return runs.url, runs.is_answering()


def prepare_dagster(settings: Settings) -> Path:
    """Make DAGSTER_HOME and Dagster's storage; give the folder.

    Raises:
        SettingsError: `settings.invalid`.
        WorldError: `dagster.unreachable` when the storage cannot be made.
    """
    home = _dagster_home(settings)
    home.prepare()
    return home.folder


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What a process of Dagster on this home needs in its environment, beside our own. May hold a password."""
    return _dagster_home(settings).environment()


def _build_engine(settings: Settings, catalog: Catalog, store: ObjectStore, clock: Clock) -> ServingEngine:
    if settings.druid_overlord_url is not None:
        return _build_druid(settings, settings.druid_overlord_url, catalog, store, clock)
    from metricfoundry_dagster.adapters.duckdb_database import EngineLimits
    from metricfoundry_dagster.adapters.duckdb_engine import DuckDbEngine

    limits = EngineLimits(timeout_seconds=settings.query_timeout_seconds)
    return DuckDbEngine(catalog, store, settings.home / "cache", clock, limits=limits)


def _build_druid(settings: Settings, overlord_url: str, catalog: Catalog, store: ObjectStore, clock: Clock) -> ServingEngine:
    from metricfoundry_dagster.adapters.druid_engine import DruidEngine
    from metricfoundry_dagster.adapters.druid_parts import DruidTimeouts, druid_parts

    addresses, access = _druid_servers(settings, overlord_url)
    return DruidEngine(
        druid_parts(
            addresses,
            access,
            DruidTimeouts(
                task_seconds=settings.druid_task_timeout_seconds,
                load_seconds=settings.druid_load_timeout_seconds,
                query_seconds=settings.query_timeout_seconds,
            ),
            catalog=catalog,
            store=store,
            clock=clock,
        )
    )


def _druid_servers(settings: Settings, overlord_url: str) -> "tuple[DruidAddresses, DruidAccess]":
    from metricfoundry_dagster.adapters.druid_http import DruidAccess
    from metricfoundry_dagster.adapters.druid_parts import DruidAddresses

    addresses = DruidAddresses(
        overlord_url=overlord_url,
        broker_url=settings.druid_broker_url or overlord_url,
        coordinator_url=settings.druid_coordinator_url or overlord_url,
    )
    secret = settings.druid_password
    password = secret.get_secret_value() if secret else None
    return addresses, DruidAccess(settings.druid_username, password, ca_file=settings.druid_ca_file)


def _dagster_runs(settings: Settings) -> "DagsterRuns":
    from metricfoundry_dagster.adapters.dagster_runs import DagsterRuns
    from metricfoundry_dagster.adapters.run_processes import RunProcesses

    return DagsterRuns(url=settings.dagster_url, home=settings.home, processes=RunProcesses(_dagster_home(settings)))


def _dagster_home(settings: Settings) -> "DagsterHome":
    from metricfoundry_dagster.adapters.dagster_home import DagsterHome
    from metricfoundry_dagster.adapters.dagster_storage import storage_address

    own = settings.dagster_database_url
    storage = storage_address(settings.database_url, own.get_secret_value() if own else None)
    return DagsterHome(settings.home, storage, settings.max_concurrent_runs, settings.max_run_seconds)


def make_home(settings: Settings) -> None:
    """Make the home directory, for nobody else to look into. Raises WorldError `store.unreachable`."""
    try:
        settings.home.parent.mkdir(parents=True, exist_ok=True)
        settings.home.mkdir(mode=0o700, exist_ok=True)  # rejected rows and previews lie in it
    except OSError as error:
        hint = "Set METRICFOUNDRY_HOME to a directory that can be written."
        raise WorldError("store.unreachable", f"{settings.home} cannot be made: {error.strerror}", hint=hint) from None


def _s3_options(settings: Settings) -> "S3Options":
    from metricfoundry_dagster.adapters.file_addresses import S3Options

    secret = settings.s3_secret_access_key
    return S3Options(
        endpoint_url=settings.s3_endpoint_url,
        access_key=settings.s3_access_key_id,
        secret_key=secret.get_secret_value() if secret else None,
        region=settings.s3_region,
    )

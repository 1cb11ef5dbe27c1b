"""The examinations of `doctor`, in their order. None of them changes anything that stays.

What is asked of servers is in the adapters; here is what concerns this machine and our own files.
"""

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from metricfoundry_dagster.cli.examine_versions import examine_versions
from metricfoundry_dagster.domain.checks import Check, failed
from metricfoundry_dagster.domain.errors import MetricFoundryError, WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.settings import Settings, unknown_variables
from metricfoundry_dagster.wiring import (
    build_contracts,
    build_store,
    examine_buckets,
    examine_databases,
    examine_serving,
    find_dagster,
    find_warm_parent,
)

_SCARCE_BYTES = 5 * 1024**3


def examine(settings: Settings) -> list[Check]:
    """Every examination, in the order in which their causes hang together."""
    examinations: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _versions,
        _variables,
        _space,
        _databases,
        examine_buckets,
        _other_roots,
        examine_serving,
        _dagster,
        _contracts,
    )
    return [check for each in examinations for check in each(settings)]


def _versions(_settings: Settings) -> Iterator[Check]:
    yield from examine_versions()


def _variables(settings: Settings) -> Iterator[Check]:
    yield Check("settings", "ok", f"{len(type(settings).model_fields)} settings are valid; state lies in {settings.home}")
    for name in unknown_variables():
        yield Check("settings", "warning", f"{name} is no setting", "Check its spelling, or unset it.")


def _space(settings: Settings) -> Iterator[Check]:
    """Free bytes where local state is kept; one line per disk."""
    roots = (str(settings.home), settings.uploads_root, settings.artifacts_root, settings.reports_root)
    places = [_existing(Path(root)) for root in reversed(roots) if "://" not in root]
    for place in {place.stat().st_dev: place for place in places}.values():
        free_bytes = shutil.disk_usage(place).free
        detail = f"{free_bytes / 1024**3:,.1f} GiB free at {place}"
        if free_bytes < _SCARCE_BYTES:
            yield Check("free space", "warning", detail, "Make room, or point METRICFOUNDRY_HOME to another disk.")
        else:
            yield Check("free space", "ok", detail)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _databases(settings: Settings) -> Iterator[Check]:
    try:
        yield from examine_databases(settings)
    except MetricFoundryError as error:  # an address that is none, or a directory that cannot be made
        yield failed("catalog", error, "Check METRICFOUNDRY_DATABASE_URL and METRICFOUNDRY_HOME.")


def _other_roots(settings: Settings) -> Iterator[Check]:
    """Roots that are no buckets of S3: something small is written, read and removed."""
    store = build_store(settings)
    for root in Root:
        address: str = getattr(settings, f"{root}_root")
        if address.startswith("s3://"):
            continue
        key, probe = f".doctor-{secrets.token_hex(8)}", b"written by doctor, to be removed at once"
        try:
            store.write_bytes(root, key, probe)
            if store.read_bytes(root, key) != probe:
                raise WorldError("store.unreachable", f"what was written to {address} came back changed")
            store.delete(root, key)
        except MetricFoundryError as error:
            variable = f"METRICFOUNDRY_{root.upper()}_ROOT"
            yield failed(f"{root} root", error, f"Check {variable}, that it exists and may be written.")
        else:
            yield Check(f"{root} root", "ok", address)


def _dagster(settings: Settings) -> Iterator[Check]:
    url, answers = find_dagster(settings)
    if answers:
        yield Check("dagster", "ok", f"answers at {url}")
        if not settings.dagster_url and not find_warm_parent(settings):
            step = "Nothing, if it is starting; else look at its log below METRICFOUNDRY_HOME."
            yield Check("warm parent", "warning", "not there: the next run waits some seconds until it is", step)
    elif settings.dagster_url:
        error = WorldError("dagster.unreachable", f"does not answer at {url}")
        yield failed("dagster", error, "Start it, or unset METRICFOUNDRY_DAGSTER_URL.")
    elif url:
        yield Check("dagster", "warning", f"`up` runs, but does not answer at {url} yet", "Wait a moment, or look at its logs.")
    else:
        detail = f"not running on {settings.home}; `ingest` works without it"
        yield Check("dagster", "warning", detail, "Start it with `metricfoundry up` to watch the drop zone.")


def _contracts(settings: Settings) -> Iterator[Check]:
    files = sorted(settings.contracts_dir.glob("*.yaml")) if settings.contracts_dir.is_dir() else []
    contracts, broken = build_contracts(settings), 0
    for file in files:
        try:
            read_contract(contracts.read(str(file)))
        except MetricFoundryError as error:
            broken += 1
            yield failed(f"contract {file.name}", error, error.record.hint)
    yield Check("contracts", "ok", f"{len(files) - broken} can be read in {settings.contracts_dir}")

"""The examinations of `doctor`, one function each. None of them changes anything that stays."""

import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from metricfoundry_dagster.cli.exit_codes import WORLD, exit_code_of
from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.pipeline.read_contract import read_contract
from metricfoundry_dagster.settings import Settings, unknown_variables
from metricfoundry_dagster.wiring import build_catalog, build_contracts, build_store, find_dagster

_LIBRARIES = ("metricfoundry-dagster", "dagster", "polars", "duckdb", "pyarrow", "pandera", "sqlalchemy")
_SCARCE_BYTES = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict. A warning lets work go on; `next_step` is empty when there is nothing to do.

    `exit_code` is that of the error behind a failure, else 0.
    """

    name: str
    verdict: Literal["ok", "warning", "failed"]
    detail: str
    next_step: str = ""
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Every examination, in the order in which their causes hang together."""
    examinations: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _versions,
        _variables,
        _space,
        _catalog,
        _roots,
        _dagster,
        _contracts,
    )
    return [check for each in examinations for check in each(settings)]


def _versions(_settings: Settings) -> Iterator[Check]:
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield Check("versions", "ok", f"python {sys.version.split()[0]}, {libraries}")


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


def _catalog(settings: Settings) -> Iterator[Check]:
    try:
        revision = build_catalog(settings).check()
    except MetricFoundryError as error:
        yield _failed("catalog", error, "Check METRICFOUNDRY_DATABASE_URL, and that the database is up.")
    else:
        yield Check("catalog", "ok", f"schema revision {revision}")


def _roots(settings: Settings) -> Iterator[Check]:
    store = build_store(settings)
    for root in Root:
        key, probe = f".doctor-{secrets.token_hex(8)}", b"written by doctor, to be removed at once"
        try:
            store.write_bytes(root, key, probe)
            intact = store.read_bytes(root, key) == probe
            store.delete(root, key)
        except MetricFoundryError as error:
            variable = f"METRICFOUNDRY_{root.upper()}_ROOT"
            yield _failed(f"{root} root", error, f"Check {variable}, that it exists and may be written, and the S3 settings.")
        else:
            address = getattr(settings, f"{root}_root") if intact else "what was written came back changed"
            verdict = Check(f"{root} root", "ok", address)
            yield (
                verdict if intact else replace(verdict, verdict="failed", next_step="Check the store behind it.", exit_code=WORLD)
            )


def _dagster(settings: Settings) -> Iterator[Check]:
    url, answers = find_dagster(settings)
    if answers:
        yield Check("dagster", "ok", f"answers at {url}")
    elif settings.dagster_url:
        yield Check("dagster", "failed", f"does not answer at {url}", "Start it, or unset METRICFOUNDRY_DAGSTER_URL.", WORLD)
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
            yield _failed(f"contract {file.name}", error, error.record.hint)
    yield Check("contracts", "ok", f"{len(files) - broken} can be read in {settings.contracts_dir}")


def _failed(name: str, error: MetricFoundryError, next_step: str) -> Check:
    return Check(name, "failed", f"{error.record.message} [{error.code}]", next_step, exit_code_of(error))

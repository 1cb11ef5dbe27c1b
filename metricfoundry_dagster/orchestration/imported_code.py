"""The code of this package as a warm parent holds it: imported once, used by nothing yet.

Put here what may be made before a fork: modules, definitions, configuration. Whatever starts a thread, opens a
connection or makes Polars work belongs behind it: a child of a process that has used Polars once hangs for ever.
"""

import hashlib
import importlib
import os
import pkgutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import metricfoundry_dagster
from metricfoundry_dagster.orchestration.process_settings import process_settings
from metricfoundry_dagster.wiring import prepare_before_forks

_PACKAGE = Path(metricfoundry_dagster.__file__).parent
_DEFINITIONS = "metricfoundry_dagster.definitions"
#: Whose modules a run uses, all of them.
_ROOMS = ("actions", "adapters", "domain", "orchestration", "pipeline", "ports")
#: What they and their libraries import only where it is used.
_IMPORTED_LATE = (
    "dagster._cli.api",
    "dagster._core.executor.in_process",
    "dagster._core.execution.plan.active",
    "dagster._core.instance.factory",
    "dagster._core.system_config.composite_descent",
    "duckdb",
    "pandera.polars",
    "psycopg2.extras",
    "pyarrow.pandas_compat",
    "pyarrow.vendored.version",
    "s3fs",
    "upath",
    "upath.implementations.local",
)
#: Threads that libraries start when they are imported: they sleep, hold nothing, and their libraries know of forks.
_HARMLESS_THREADS = {"jemalloc_bg_thd", "polars-ooc-clea"}


class UsedParentError(Exception):
    """This process has used what it may only have imported; its children would hang."""


def import_code() -> None:
    """Import whatever a run will, and put the definitions together.

    Raises:
        Exception: whatever the definitions raise. Of the rest, what cannot be imported is left to the run that needs it.
    """
    definitions = importlib.import_module(_DEFINITIONS)
    definitions.defs.get_repository_def().load_all_definitions()
    for name in (*_modules_of_rooms(), *_IMPORTED_LATE):
        with suppress(ImportError):
            importlib.import_module(name)
    importlib.import_module(f"{metricfoundry_dagster.__name__}.pipeline.profiling.render_report").report_template()
    prepare_before_forks(process_settings())


def _modules_of_rooms() -> Iterator[str]:
    for room in _ROOMS:
        for module in pkgutil.walk_packages([str(_PACKAGE / room)], f"{metricfoundry_dagster.__name__}.{room}."):
            if "migrations" not in module.name:
                yield module.name


def resolve_job(origin: str) -> None:
    """Resolve the job of a run, so that its worker need not; `origin` as Dagster serializes it. Only of our own code."""
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.origin import JobPythonOrigin
    from dagster._serdes import deserialize_value
    from dagster._utils.hosted_user_process import recon_job_from_origin

    found = deserialize_value(origin, JobPythonOrigin)
    pointer = found.get_repo_pointer()
    if isinstance(pointer, ModuleCodePointer) and pointer.module == _DEFINITIONS:
        recon_job_from_origin(found).get_definition()


def require_nothing_used() -> None:
    """Make sure that this process may be forked: it runs one thread, and no library of it was put to work.

    Raises:
        UsedParentError: naming the threads that should not be.
    """
    names = Counter(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    own = Path(f"/proc/self/task/{os.getpid()}/comm").read_text().strip()
    names[own] -= 1
    for name in _HARMLESS_THREADS:
        del names[name]
    if threading.active_count() > 1 or names.total() > 0:
        raise UsedParentError(f"threads beside the main one: {sorted(names.elements())}")


def is_unused() -> bool:
    """Whether this process may be forked."""
    try:
        require_nothing_used()
    except UsedParentError:
        return False
    return True


def fingerprint(home: Path) -> str:
    """What a change of this package's code, or of the `dagster.yaml` of this home, changes."""
    # By its content: every command puts the file there anew.
    digest = hashlib.sha256((home / "dagster.yaml").read_bytes())
    for folder, _, names in sorted(os.walk(_PACKAGE)):
        for name in sorted(names):
            if name.endswith((".py", ".jinja")):  # the report's template is read before the first fork
                path = f"{folder}/{name}"
                status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, at every launch
                digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\n".encode())
    return digest.hexdigest()

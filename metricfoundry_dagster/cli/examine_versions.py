"""Examines what is installed: the interpreter, our libraries, and whether they are those of the lock file."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import metricfoundry_dagster
from metricfoundry_dagster.domain.checks import Check

_LIBRARIES = ("metricfoundry-dagster", "dagster", "polars", "duckdb", "pyarrow", "pandera", "sqlalchemy")
#: Lies beside the package where that is run from its sources.
_LOCK = Path(metricfoundry_dagster.__file__).parent.parent / "requirements.lock"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)\s*(;?)", re.MULTILINE)
_MOST_NAMED = 5


def examine_versions(lock: Path = _LOCK) -> Iterator[Check]:
    """One check for what is there, and a warning when it is not what was tested together."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield Check("versions", "ok", f"python {sys.version.split()[0]}, {libraries}")
    try:
        pinned = _PINNED.findall(lock.read_text())
    except OSError:
        return
    others = list(_differences(pinned))
    if others:
        named = ", ".join(others[:_MOST_NAMED]) + (f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else "")
        yield Check("versions", "warning", f"not as in {lock.name}: {named}", "Install again with `make`, from the lock file.")


def _differences(pinned: list[tuple[str, str, str]]) -> Iterator[str]:
    """What is installed in another version. One name may have several lines, each for some machines: any will do."""
    wanted: dict[str, list[str]] = {}
    for name, number, _ in pinned:
        wanted.setdefault(name, []).append(number)
    for_some_only = {name for name, _, marker in pinned if marker}
    for name, numbers in wanted.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            if name not in for_some_only:
                yield f"{name} is missing"
            continue
        if found not in numbers:
            yield f"{name} {found} instead of {' or '.join(numbers)}"

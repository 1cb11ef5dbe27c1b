"""Finds the programs that servers need, or says which is missing and how to get it.

A name in PATH is no proof that the program runs (version managers leave such names), so each is asked for its version.
"""

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from deploy.servers.errors import ServerUnavailableError

_JAVA_MAJOR = 17
#: From here on Go fetches by itself the newer release that a module asks for.
_GO_MINOR = 21


def find_java() -> Path:
    """The `java` of JAVA_HOME, or else of PATH, when it is new enough for Druid."""
    return _require(
        "java", [_below("JAVA_HOME", "bin/java")], ["-version"], r'version "(?P<version>\d+)', _JAVA_MAJOR,
        f"Druid needs Java {_JAVA_MAJOR} or newer: install Debian's package openjdk-{_JAVA_MAJOR}-jre-headless, or set JAVA_HOME",
    )  # fmt: skip


def find_maven() -> Path:
    """The `mvn` of MAVEN_HOME, or else of PATH."""
    return _require(
        "mvn", [_below("MAVEN_HOME", "bin/mvn")], ["-version"], r"Apache Maven (?P<version>\d+)", 3,
        "Druid is put together by Maven: install Debian's package maven",
    )  # fmt: skip


def find_go() -> Path:
    """The `go` of PATH, or else of the place where Go's own archive is unpacked."""
    return _require(
        "go", [Path("/usr/local/go/bin/go")], ["version"], r"go1\.(?P<version>\d+)", _GO_MINOR,
        f"MinIO is built by Go 1.{_GO_MINOR} or newer: install it, and put `go` into PATH",
    )  # fmt: skip


def find_postgresql() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps those of each version apart and out of PATH."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of_folder, reverse=True)
    for folder in candidates:
        if all((folder / program).is_file() for program in ("initdb", "postgres")):
            return folder
    raise ServerUnavailableError(
        "PostgreSQL is missing: no initdb in PATH or /usr/lib/postgresql/*/bin. Install Debian's package postgresql"
    )


def unprivileged_account() -> pwd.struct_passwd | None:
    """Whom to run PostgreSQL as, which refuses to be root; None for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerUnavailableError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody: add one")


def _require(name: str, candidates: list[Path | None], question: list[str], pattern: str, least: int, advice: str) -> Path:
    on_path = shutil.which(name)
    for candidate in (candidates[0], Path(on_path) if on_path else None, *candidates[1:]):
        if candidate is not None and candidate.is_file() and _version(candidate, question, pattern) >= least:
            return candidate
    raise ServerUnavailableError(f"{name} is missing or too old. {advice}")


def _version(program: Path, question: list[str], pattern: str) -> int:
    """The part of the version that the pattern names; -1 when the program does not run."""
    try:
        done = subprocess.run([program, *question], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return -1
    found = re.search(pattern, done.stdout + done.stderr)
    return int(found["version"]) if found and done.returncode == 0 else -1


def _below(variable: str, path: str) -> Path | None:
    home = os.environ.get(variable)
    return Path(home) / path if home else None


def _version_of_folder(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0

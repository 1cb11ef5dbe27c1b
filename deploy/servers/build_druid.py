"""Puts Apache Druid together from Maven's artifacts: its jars, and a folder of extensions.

Which artifacts, in which versions, is said by the poms in `deploy/druid`. Maven decides where they are fetched from.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from deploy.servers.cache import built, is_built
from deploy.servers.find_programs import find_maven
from deploy.servers.locations import DRUID_CONFIGURATION, cache_folder
from deploy.servers.run_build_tool import run_build_tool

DRUID_VERSION = "33.0.0"
#: Pom and the folder that its dependencies are copied to.
_PARTS = {
    "core-pom.xml": "lib",
    "parquet-pom.xml": "extensions/druid-parquet-extensions",
    "s3-pom.xml": "extensions/druid-s3-extensions",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DruidJars:
    """Druid on disk."""

    lib: Path
    extensions: Path

    def class_path(self) -> str:
        """All jars, always in the same order: an archive of classes is good for one class path only."""
        return ":".join(str(jar) for jar in sorted(self.lib.glob("*.jar")))


def druid_jars() -> DruidJars:
    """Druid from the cache, built first if need be: about a minute.

    Raises:
        ServerUnavailableError: Maven is missing or could not get an artifact.
    """
    folder = built(druid_name(), _build)
    return DruidJars(folder / "lib", folder / "extensions")


def is_druid_built() -> bool:
    """Whether Druid is in the cache."""
    return is_built(druid_name())


def druid_name() -> str:
    """The folder in the cache, another one for other poms."""
    poms = b"".join((DRUID_CONFIGURATION / pom).read_bytes() for pom in _PARTS)
    return f"druid-{DRUID_VERSION}-{_digest(poms)}"


def class_archives(java: Path) -> Path:
    """Where the archives of Druid's classes lie, which are good for one Java only; they need not have been made."""
    # The file in which every JDK says exactly which one it is.
    release = java.resolve().parent.parent / "release"
    identity = release if release.is_file() else java
    return cache_folder() / f"{druid_name()}-classes-{_digest(identity.read_bytes())}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


def _build(folder: Path) -> None:
    maven = find_maven()
    _log.info("putting Apache Druid %s together, once: about a minute", DRUID_VERSION)
    for pom, target in _PARTS.items():
        command: list[str | Path] = [
            maven, "-B", "-q", "-f", DRUID_CONFIGURATION / pom, "dependency:copy-dependencies",
            "-DincludeScope=runtime", f"-DoutputDirectory={folder / target}",
        ]  # fmt: skip
        run_build_tool(f"Maven could not get what {pom} names", command, folder)

"""Builds MinIO, which is published as a Go module and no longer as a program."""

import logging
from pathlib import Path

from deploy.servers.cache import built, is_built
from deploy.servers.find_programs import find_go
from deploy.servers.run_build_tool import run_build_tool

#: The last of the module, which is archived.
MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
_NAME = f"minio-{MINIO_VERSION}"
_log = logging.getLogger(__name__)


def minio_program() -> Path:
    """MinIO from the cache, built first if need be: about five minutes on two cores.

    Raises:
        ServerUnavailableError: Go is missing or could not build it.
    """
    return built(_NAME, _build) / "minio"


def is_minio_built() -> bool:
    """Whether MinIO is in the cache."""
    return is_built(_NAME)


def _build(folder: Path) -> None:
    go = find_go()
    _log.info("building MinIO, once: about five minutes")
    # Without C: no compiler is asked for, and the program runs on any Linux.
    variables = {"GOBIN": str(folder), "CGO_ENABLED": "0"}
    run_build_tool("Go could not build MinIO", [go, "install", f"github.com/minio/minio@{MINIO_VERSION}"], folder, variables)

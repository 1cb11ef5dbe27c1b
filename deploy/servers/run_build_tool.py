"""Runs Go or Maven to its end, and tells of a failure as of a server that cannot be had."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.servers.errors import ServerUnavailableError

#: Five minutes on two cores of their own; a machine may have much else to do.
_TIMEOUT_SECONDS = 7_200
_OUTPUT_CHARS = 2_000


def run_build_tool(what: str, command: Sequence[str | Path], folder: Path, variables: Mapping[str, str] | None = None) -> None:
    """Run a command in a folder, with variables added to our own.

    Raises:
        ServerUnavailableError: It failed, which `what` describes, with the end of what it said.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=folder,
            env={**os.environ, **(variables or {})},
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServerUnavailableError(f"{what}: it was not done after {_TIMEOUT_SECONDS:,} seconds") from None
    if done.returncode:
        raise ServerUnavailableError(f"{what}:\n{done.stdout[-_OUTPUT_CHARS:].strip()}")

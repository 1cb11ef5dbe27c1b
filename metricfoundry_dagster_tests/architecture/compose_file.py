"""What `docker-compose.yml` and the Dockerfile say, taken apart for the tests that hold them against the rest."""

import re
import shlex
from typing import Any

import yaml

from metricfoundry_dagster_tests.architecture.source_code import ROOT

COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
#: `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:?message}`, but not the escaped `$${NAME}`.
VARIABLE = re.compile(r"(?<!\$)\$\{?(?P<name>[A-Za-z_]\w*)(?P<rest>[^}]*)\}")


def services() -> dict[str, dict[str, Any]]:
    """Every service by its name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))["services"]
    return found


def environment_of(service: str) -> dict[str, str]:
    """The variables of a service, with `${NAME…}` in their values replaced by the bare name."""
    given = services()[service].get("environment", {})
    return {name: VARIABLE.sub(lambda match: match["name"], value) for name, value in given.items()}


def arguments_of(service: str) -> list[str]:
    """The words of a service's command; a shell script is taken apart."""
    command: list[str] = services()[service]["command"]
    return shlex.split(command[0].replace("$$", "$")) if len(command) == 1 else command


def mounts_of(service: str) -> dict[str, str]:
    """What is mounted where: path in the container to volume, or to path in the repository."""
    pairs = [mount.split(":")[:2] for mount in services()[service].get("volumes", [])]
    return {inside: outside.removeprefix("./") for outside, inside in pairs}


def dockerfile_instructions() -> list[tuple[str, str]]:
    """Instruction and argument, in order, with continued lines joined and comments left out."""
    lines = [line for line in DOCKERFILE.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]

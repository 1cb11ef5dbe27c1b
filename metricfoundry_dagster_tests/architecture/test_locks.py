"""The lock files pin everything by hash and name no address: whoever installs decides which index is asked."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metricfoundry_dagster_tests.architecture.source_code import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)(\[[a-z0-9,_-]+\])?==(?P<version>[^ ;]+)( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_and_hashes_only(lock: str) -> None:
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    assert [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []
    unhashed = [
        line for line, following in zip(lines, [*lines[1:], ""], strict=True) if PIN.match(line) and not HASH.match(following)
    ]
    assert unhashed == []


def test_every_dependency_is_locked_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    wanted = {
        "requirements.lock": project["project"]["dependencies"] + groups["build"],
        "requirements-dev.lock": project["project"]["dependencies"] + groups["build"] + groups["dev"],
    }
    for lock, requirements in wanted.items():
        pins = _pins(lock)
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), f"{requirement} in {lock}"


def test_the_two_locks_agree() -> None:
    """`make test` adds tools to what `make install` gives; it changes nothing of it."""
    run, dev = map(_pins, LOCKS)
    assert {name: dev.get(name) for name in run} == run


def _pins(lock: str) -> dict[str, str]:
    matches = map(PIN.match, (ROOT / lock).read_text("utf-8").splitlines())
    return {canonicalize_name(match["name"]): match["version"] for match in matches if match}

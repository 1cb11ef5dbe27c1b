"""What is committed can be read and run anywhere: it names no machine, no package registry and no secret."""

import re
import sys
from pathlib import Path

from metricfoundry_dagster_tests.architecture.source_code import ROOT, committed_files, relative

#: Signs of a package registry's address. This file spells them out, so it is not scanned itself.
REGISTRY = re.compile(r"--(extra-)?index-url|--find-links|pythonhosted|pypi\.|/simple\b|artifactory|devpi", re.IGNORECASE)
SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b")
LARGEST_FILE_BYTES = 1024 * 1024


def test_no_committed_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    own = {str(path) for path in (ROOT, ROOT.parent, Path.home(), Path(sys.base_prefix)) if len(path.parts) > 1}
    own -= {"/tmp", "/usr", "/home"}  # these are on every machine, and said in prose
    theirs = [re.escape(path) for path in sorted(own)] + [r"/root", r"/home/\w+", r"/Users/\w+"]
    paths = re.compile(r"(?<![\w.}-])(" + "|".join(theirs) + ")/")
    assert _found(paths) == []


def test_no_committed_file_names_a_package_registry() -> None:
    assert _found(REGISTRY) == []


def test_no_committed_file_holds_a_secret() -> None:
    assert _found(SECRET) == []


def test_no_committed_file_is_large() -> None:
    """Data comes from packages and generators, not from the repository."""
    large = [relative(path) for path in committed_files() if path.stat().st_size > LARGEST_FILE_BYTES]
    assert large == []


def _found(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in committed_files():
        text = path.read_bytes().decode("utf-8", "replace") if path != Path(__file__) else ""
        found += [f"{relative(path)}: {match[0]}" for match in pattern.finditer(text)]
    return found

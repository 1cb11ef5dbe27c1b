"""House rules that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

from metricfoundry_dagster_tests.architecture.source_code import (
    SERVERS,
    SOURCE,
    TESTS,
    called_name,
    parse,
    python_files,
    relative,
)

#: Names that say nothing about what a file does, so that anything ends up in it.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "base", "tools"}

#: Who may touch the environment besides `settings.py`, and why.
ENVIRONMENT_READERS = dict.fromkeys(
    (
        "metricfoundry_dagster/adapters/dagster_storage.py",
        "metricfoundry_dagster/adapters/run_processes.py",
        "metricfoundry_dagster/cli/supervise.py",
        "metricfoundry_dagster/orchestration/warm_parent.py",
    ),
    "hands its own environment on, whole, to a process that it starts",
)

#: Ways to replace a part of a running program behind its back; tests use fakes that implement a port.
PATCHING = re.compile(r"unittest\.mock|unittest import mock|mock\.patch|MagicMock|monkeypatch\.setattr|mocker\b")

#: A lint or type ignore, and one that names its rule and gives a reason behind it.
IGNORE = re.compile(r"# (?:noqa|type: ignore)\b.*$", re.MULTILINE)
REASONED_IGNORE = re.compile(r"# (?:noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)*|type: ignore\[[a-z, -]+\]) +(?:--? |# )\S+ \S+.*")


@pytest.mark.parametrize("path", [*python_files(SOURCE), *python_files(SERVERS)], ids=relative)
def test_every_module_opens_with_its_charter(path: Path) -> None:
    """The docstring says what the module is for: at least one whole sentence."""
    docstring = ast.get_docstring(parse(path)) or ""
    first_paragraph = docstring.split("\n\n")[0]
    assert len(first_paragraph.split()) >= 4
    assert first_paragraph.rstrip().endswith((".", ":"))


def test_a_package_exports_nothing_in_its_init() -> None:
    """Each name has one import path, and importing a package does nothing."""
    busy = [relative(p) for p in (*python_files(SOURCE), *python_files(SERVERS)) if p.name == "__init__.py" and _statements(p)]
    assert busy == []


def test_file_names_say_what_the_file_does() -> None:
    empty = [relative(p) for p in (*python_files(SOURCE), *python_files(SERVERS), *python_files(TESTS)) if p.stem in EMPTY_NAMES]
    assert empty == []


def test_every_ignore_names_its_rule_and_gives_a_reason() -> None:
    found = [
        f"{relative(path)}: {match[0]}"
        for path in (*python_files(SOURCE), *python_files(SERVERS), *python_files(TESTS))
        for match in IGNORE.finditer(path.read_text("utf-8"))
        if path != Path(__file__) and not REASONED_IGNORE.fullmatch(match[0])
    ]
    assert found == []


def test_tests_replace_nothing_behind_the_programs_back() -> None:
    patched = [relative(p) for p in python_files(TESTS) if p != Path(__file__) and PATCHING.search(p.read_text("utf-8"))]
    assert patched == []


@pytest.mark.parametrize("room", ["orchestration", "service"])
def test_rooms_whose_annotations_are_read_at_run_time_do_not_postpone_them(room: str) -> None:
    """Dagster and FastAPI look at the annotations of assets, sensors and routes."""
    postponed = [relative(p) for p in python_files(SOURCE / room) if _postpones_annotations(p)]
    assert postponed == []


def test_only_the_settings_read_the_environment() -> None:
    readers = {relative(p) for p in python_files(SOURCE) if _touches_environment(p)}
    assert readers - set(ENVIRONMENT_READERS) == {"metricfoundry_dagster/settings.py"} & readers
    assert set(ENVIRONMENT_READERS) <= readers, "an entry of ENVIRONMENT_READERS is no longer needed"


def test_each_asset_has_one_noun_in_five_places() -> None:
    """Asset file, stage, folder of its product, heading in ARCHITECTURE.md and test file go by one name."""
    from metricfoundry_dagster.domain.products import Stage

    architecture = (SOURCE.parent / "ARCHITECTURE.md").read_text("utf-8")
    for stage in Stage:
        assert (SOURCE / "orchestration" / "assets" / f"{stage}.py").is_file()
        assert f"### `{stage}`" in architecture


def _statements(path: Path) -> list[ast.stmt]:
    body = parse(path).body
    return body[1:] if ast.get_docstring(parse(path)) is not None else body


def _postpones_annotations(path: Path) -> bool:
    imports = (node for node in parse(path).body if isinstance(node, ast.ImportFrom))
    return any(node.module == "__future__" and "annotations" in {a.name for a in node.names} for node in imports)


def _touches_environment(path: Path) -> bool:
    return any(
        called_name(node) in {"environ", "environb", "getenv", "putenv"}
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute | ast.Name)
    )

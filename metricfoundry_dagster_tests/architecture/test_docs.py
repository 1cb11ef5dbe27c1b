"""The documents say what is there: their links resolve, and their commands, targets and scripts exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from metricfoundry_dagster.settings import OTHER_VARIABLES, Settings, variable_of
from metricfoundry_dagster_tests.architecture.source_code import ROOT, relative

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"^```\w*\n(?P<block>.*?)^```|`(?P<span>[^`\n]+)`", re.DOTALL | re.MULTILINE)
#: Words that stand for something and that no command line has.
PLACEHOLDER = re.compile(r"…|\.\.\.|^[A-Z_|…]+$")


@pytest.fixture(scope="module")
def command_line() -> Any:
    """The root of the tree of commands; typer brings a click of its own, whose classes are private."""
    from metricfoundry_dagster.cli.main import app

    return typer.main.get_command(app)


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_to_files_resolve(document: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(document.read_text("utf-8")) if "://" not in link]
    assert [target for target in targets if target and not (document.parent / target).exists()] == []


@pytest.mark.parametrize(("folder", "index"), [("guide", "index.md"), ("decisions", "README.md")])
def test_every_page_is_in_its_index(folder: str, index: str) -> None:
    path = ROOT / "docs" / folder / index
    listed = set(LINK.findall(path.read_text("utf-8")))
    assert {page.name for page in path.parent.glob("*.md") if page != path} - listed == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_command_and_option_exists(document: Path, command_line: Any) -> None:
    wrong = [" ".join(words) for words in _commands(document, "metricfoundry") if not _is_known(command_line, words[1:])]
    assert wrong == []


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    asked = {words[1] for document in DOCUMENTS for words in _commands(document, "make") if len(words) > 1}
    assert asked >= {"demo", "test"}
    assert {target for target in asked if target not in targets and not target.startswith("bench-")} == set()


def test_every_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^\.PHONY: (\S+)", makefile, flags=re.MULTILINE):
        assert re.search(rf"^{target}:.*## \S+", makefile, flags=re.MULTILINE), target


def test_every_script_exists() -> None:
    scripts = {words[1] for document in DOCUMENTS for words in _commands(document, "python") if words[1:] and words[1] != "-m"}
    assert {script for script in scripts if not (ROOT / script).is_file()} == set()


def test_every_setting_that_is_named_exists() -> None:
    known = {variable_of(name) for name in Settings.model_fields} | OTHER_VARIABLES
    named = {name for document in DOCUMENTS for name in re.findall(r"METRICFOUNDRY_[A-Z_]+[A-Z]", document.read_text("utf-8"))}
    assert named - known == set()


def _commands(document: Path, program: str) -> Iterator[list[str]]:
    """Command lines of one program in code blocks and spans, as words."""
    for match in CODE.finditer(document.read_text("utf-8")):
        for line in (match["block"] or match["span"]).splitlines():
            text = line.strip().removeprefix(".venv/bin/")
            if text.split(" ")[0] == program:
                yield shlex.split(text, comments=True)


def _is_known(command: Any, words: list[str]) -> bool:
    """Whether the sub-commands and options are those of the command line. Arguments may be anything."""
    while hasattr(command, "commands") and words and not words[0].startswith("-") and not PLACEHOLDER.search(words[0]):
        found = command.commands.get(words[0])
        if found is None:
            return False
        command, words = found, words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    return {word.partition("=")[0] for word in words if word.startswith("--")} <= options

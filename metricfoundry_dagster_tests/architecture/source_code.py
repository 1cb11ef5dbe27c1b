"""Reads our own source as data: which files there are, and how long each function is.

Put the reading here and the rules into the tests beside it.
"""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "metricfoundry_dagster"
TESTS = ROOT / "metricfoundry_dagster_tests"
SERVERS = ROOT / "deploy" / "servers"

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `lines` runs from `def` to its end; `body_lines` leaves the signature out; docstrings count in neither."""

    path: Path
    name: str
    decorators: tuple[str, ...]
    lines: int
    body_lines: int

    def __str__(self) -> str:
        return f"{relative(self.path)}::{self.name}"


def relative(path: Path) -> str:
    """A path as it is spoken of in tables and messages."""
    return path.relative_to(ROOT).as_posix()


def python_files(folder: Path) -> list[Path]:
    """Every Python file below a folder, sorted."""
    return sorted(folder.rglob("*.py"))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(folder: Path) -> Iterator[Function]:
    """Every function and method below a folder, nested ones too."""
    for path in python_files(folder):
        for node in ast.walk(parse(path)):
            if isinstance(node, FunctionNode):
                yield _measure(path, node)


def made_by_call(folder: Path, maker: str) -> set[str]:
    """Names of functions that are handed to a decorator as an argument: `ingest` in `app.command()(ingest)`."""
    calls = (node for path in python_files(folder) for node in ast.walk(parse(path)) if isinstance(node, ast.Call))
    made = (call.args for call in calls if isinstance(call.func, ast.Call) and called_name(call.func) == maker)
    return {argument.id for arguments in made for argument in arguments if isinstance(argument, ast.Name)}


def called_name(call: ast.Call | ast.expr) -> str:
    """The last part of what is called or named: `asset` for `dg.asset(...)`, `@dg.asset` and `asset`."""
    target = call.func if isinstance(call, ast.Call) else call
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def committed_files(*suffixes: str) -> list[Path]:
    """The files that git knows, of these suffixes or all; skips the test where there is no git work tree."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("this is no git work tree: " + listing.stderr.strip())
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def _measure(path: Path, node: FunctionNode) -> Function:
    end = node.end_lineno or node.lineno
    first = node.body[0]
    docstring_lines = 0
    if ast.get_docstring(node, clean=False) is not None:
        docstring_lines = (first.end_lineno or first.lineno) - first.lineno + 1
    return Function(
        path=path,
        name=node.name,
        decorators=tuple(called_name(decorator) for decorator in node.decorator_list),
        lines=end - node.lineno + 1 - docstring_lines,
        body_lines=end - first.lineno + 1 - docstring_lines,
    )

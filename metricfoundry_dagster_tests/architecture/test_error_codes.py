"""The catalogue of codes is whole: explained, used, and in the right branch."""

import ast
import re
from collections.abc import Iterator

import pytest

from metricfoundry_dagster.domain import errors
from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster_tests.architecture.source_code import SOURCE, called_name, parse, python_files, relative

BRANCHES = ((errors.UserError, "user"), (errors.WorldError, "world"), (errors.InternalError, "internal"))
BRANCH_OF = {
    name: next((branch for base, branch in BRANCHES if issubclass(kind, base)), None)
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.MetricFoundryError) and kind is not errors.MetricFoundryError
}


@pytest.mark.parametrize("code", ERROR_CODES)
def test_each_code_says_what_it_means_and_what_to_do(code: str) -> None:
    entry = ERROR_CODES[code]
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)?", code)
    assert len(entry.meaning.split()) >= 3
    assert len(entry.hint.split()) >= 3
    assert entry.hint.endswith(".")


def test_every_error_belongs_to_one_of_the_three_branches() -> None:
    """They decide on retries, exit codes and statuses."""
    assert [name for name, branch in BRANCH_OF.items() if branch is None] == []


def test_every_code_that_is_raised_is_in_the_catalogue() -> None:
    unknown = [(where, code) for where, _, code in _raised() if code not in ERROR_CODES]
    assert unknown == []


def test_every_code_is_raised_by_the_class_of_its_branch() -> None:
    wrong = [(where, kind, code) for where, kind, code in _raised() if ERROR_CODES[code].branch != BRANCH_OF[kind]]
    assert wrong == []


def test_every_code_of_a_rejected_row_is_in_the_catalogue() -> None:
    """Any text in the source with the shape and the area of such a code is one."""
    areas = {code.partition(".")[0] for code, entry in ERROR_CODES.items() if entry.branch == "row"}
    shape = re.compile(rf"({'|'.join(sorted(areas))})\.[a-z]+(_[a-z]+)*")
    unknown = [
        f"{relative(path)}:{node.lineno} {node.value}"
        for path in python_files(SOURCE / "pipeline")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and shape.fullmatch(node.value)
        if node.value not in ERROR_CODES
    ]
    assert unknown == []


def test_no_code_is_left_over() -> None:
    """A code that no module mentions is removed or was never built."""
    catalogue = SOURCE / "domain" / "error_codes.py"
    texts = [path.read_text("utf-8") for path in python_files(SOURCE) if path != catalogue]
    assert [code for code in ERROR_CODES if not any(f'"{code}"' in text for text in texts)] == []


def _raised() -> Iterator[tuple[str, str, str]]:
    """Place, class and code of every error that is made with a literal code."""
    for path in python_files(SOURCE):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Call) and called_name(node) in BRANCH_OF and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    yield f"{relative(path)}:{node.lineno}", called_name(node), code.value

"""Files and functions stay small enough to be read in one go."""

from pathlib import Path
from statistics import median, quantiles

import pytest

from metricfoundry_dagster_tests.architecture.source_code import (
    SERVERS,
    SOURCE,
    TESTS,
    functions,
    made_by_call,
    python_files,
    relative,
)

#: What may be larger, and why. An entry that is no longer needed fails the suite.
EXCEPTIONS: dict[str, str] = {}

SOURCE_FILE_LINES = 400
TEST_FILE_LINES = 500
FUNCTION_LINES = 60
#: Body lines of functions that only translate, by the room they live in and the call that makes them what they are.
THIN_BODY_LINES = {
    ("orchestration", "product_asset"): 25,
    ("orchestration", "sensor"): 30,
    ("cli", "command"): 20,
}


def test_no_source_file_is_longer_than_its_budget() -> None:
    assert _too_long(_file_lines(SOURCE) | _file_lines(SERVERS), SOURCE_FILE_LINES) == {}


def test_no_test_file_is_longer_than_its_budget() -> None:
    assert _too_long(_file_lines(TESTS), TEST_FILE_LINES) == {}


def test_source_files_are_small_as_a_rule() -> None:
    lengths = list(_file_lines(SOURCE).values())
    assert median(lengths) <= 120
    assert sum(length > 300 for length in lengths) <= len(lengths) * 0.05


def test_no_function_is_longer_than_its_budget() -> None:
    assert _too_long(_function_lines(), FUNCTION_LINES) == {}


def test_functions_are_short_as_a_rule() -> None:
    lengths = [function.lines for function in functions(SOURCE)]
    assert median(lengths) <= 10
    assert quantiles(lengths, n=10)[-1] <= 30


@pytest.mark.parametrize(("room", "maker"), THIN_BODY_LINES)
def test_functions_that_only_translate_are_thin(room: str, maker: str) -> None:
    """An asset, a sensor or a command calls one thing that does the work."""
    made = made_by_call(SOURCE / room, maker)
    found = {str(f): f.body_lines for f in functions(SOURCE / room) if maker in f.decorators or f.name in made}
    assert found, f"no {maker} in {room}: is it called something else now?"
    assert _too_long(found, THIN_BODY_LINES[room, maker]) == {}


def test_every_exception_is_still_needed_and_has_a_reason() -> None:
    files = _too_long_without_exceptions(_file_lines(SOURCE) | _file_lines(SERVERS), SOURCE_FILE_LINES)
    files |= _too_long_without_exceptions(_file_lines(TESTS), TEST_FILE_LINES)
    long_functions = _too_long_without_exceptions(_function_lines(), FUNCTION_LINES)
    assert set(EXCEPTIONS) <= set(files | long_functions)
    assert all(len(reason.split()) > 3 for reason in EXCEPTIONS.values())


def _file_lines(folder: Path) -> dict[str, int]:
    return {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(folder)}


def _function_lines() -> dict[str, int]:
    return {str(function): function.lines for folder in (SOURCE, SERVERS) for function in functions(folder)}


def _too_long(lengths: dict[str, int], budget: int) -> dict[str, int]:
    return {name: lines for name, lines in _too_long_without_exceptions(lengths, budget).items() if name not in EXCEPTIONS}


def _too_long_without_exceptions(lengths: dict[str, int], budget: int) -> dict[str, int]:
    return {name: lines for name, lines in lengths.items() if lines > budget}

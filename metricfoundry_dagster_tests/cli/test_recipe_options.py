"""Options for reading become fields of a recipe, or wrong usage."""

from typing import Any

import pytest
import typer

from metricfoundry_dagster.cli.recipe_options import recipe_overrides
from metricfoundry_dagster.domain.recipes import Recipe

NOTHING: dict[str, Any] = {
    "delimiter": None,
    "quote": None,
    "no_header": False,
    "encoding": None,
    "format_name": None,
    "types": None,
}


def overrides(**options: Any) -> dict[str, Any]:
    return recipe_overrides(**{**NOTHING, **options})


def test_without_options_nothing_is_overridden() -> None:
    assert overrides() == {}


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("delimiter", ";", {"delimiter": ";"}),
        ("delimiter", "tab", {"delimiter": "\t"}),
        ("delimiter", "\\t", {"delimiter": "\t"}),
        ("quote", "'", {"quote": "'"}),
        ("quote", "", {"quote": None}),
        ("no_header", True, {"has_header": False}),
        ("encoding", "UTF8", {"encoding": "utf-8"}),
        ("encoding", "windows-1252", {"encoding": "cp1252"}),
        ("format_name", "sqlite", {"format": "sqlite"}),
        (
            "choices",
            ["records=/data/items", "nested=json", "flatten_depth=1"],
            {"records": "/data/items", "nested": "json", "flatten_depth": 1},
        ),
        ("format_name", "CSV", {"format": "csv"}),
        ("format_name", "tsv", {"format": "csv", "delimiter": "\t"}),
        ("types", ["zip=string", "at=timestamp[us, tz=UTC]"], {"types": {"zip": "string", "at": "timestamp[us, tz=UTC]"}}),
        ("choices", ["preamble_lines=3", "typed=false"], {"preamble_lines": 3, "typed": False}),
        ("choices", ["escape=\\", "quote=null"], {"escape": "\\", "quote": None}),
    ],
)
def test_each_option_is_a_field_of_the_recipe(option: str, value: object, expected: dict[str, Any]) -> None:
    assert overrides(**{option: value}) == expected
    Recipe("csv").overridden(expected)


def test_a_delimiter_wins_over_that_of_the_format() -> None:
    assert overrides(format_name="tsv", delimiter=";") == {"format": "csv", "delimiter": ";"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("choices", ["typed"]),
        ("choices", ["=1"]),
        ("delimiter", ""),
        ("delimiter", "::"),
        ("delimiter", "\n"),
        ("quote", "ab"),
        ("encoding", "klingon"),
        ("format_name", "xlsx"),
        ("types", ["zip"]),
        ("types", ["=string"]),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(option: str, value: object) -> None:
    with pytest.raises(typer.BadParameter):
        overrides(**{option: value})

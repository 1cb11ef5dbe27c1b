"""The options by which a person overrides how a file is read: the same for `ingest`, `inspect` and `stage`."""

from typing import Annotated, Any

import typer

Delimiter = Annotated[str | None, typer.Option("--delimiter", help="Character between fields; `tab` or `\\t` for a tab.")]
Quote = Annotated[str | None, typer.Option("--quote", help="Character around fields; empty when nothing is quoted.")]
NoHeader = Annotated[bool, typer.Option("--no-header", help="The first row is data: columns become column_1, column_2, ….")]
Encoding = Annotated[str | None, typer.Option("--encoding", help="Encoding of the text, such as utf-8 or cp1252.")]
Format = Annotated[str | None, typer.Option("--format", help="csv (also tab-separated), json, jsonl, parquet, sqlite or excel.")]
Types = Annotated[list[str] | None, typer.Option("--type", metavar="COLUMN=TYPE", help="Type of a column, such as zip=string.")]
Choices = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe", metavar="NAME=VALUE", help="Any other choice of the recipe, such as preamble_lines=3 or typed=false."
    ),
]


_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
_FORMATS: dict[str, dict[str, Any]] = {
    "csv": {"format": "csv"},
    "tsv": {"format": "csv", "delimiter": "\t"},
    "json": {"format": "json"},
    "jsonl": {"format": "jsonl"},
    "parquet": {"format": "parquet"},
    "sqlite": {"format": "sqlite"},
    "excel": {"format": "excel"},
}


def recipe_overrides(
    delimiter: str | None,
    quote: str | None,
    *,
    no_header: bool,
    encoding: str | None,
    format_name: str | None,
    types: list[str] | None,
    choices: list[str] | None = None,
) -> dict[str, Any]:
    """What was asked for, as fields of a recipe; empty when nothing was.

    Raises:
        typer.BadParameter: for a value that cannot be meant.
    """
    overrides: dict[str, Any] = dict(_format(format_name)) if format_name is not None else {}
    if delimiter is not None:
        overrides["delimiter"] = _one_character("--delimiter", _NAMED_DELIMITERS.get(delimiter, delimiter))
    if quote is not None:
        overrides["quote"] = _one_character("--quote", quote) if quote else None
    if no_header:
        overrides["has_header"] = False
    if encoding is not None:
        overrides["encoding"] = _encoding(encoding)
    if types:
        overrides["types"] = dict(_type_of(each) for each in types)
    for each in choices or ():
        name, value = _choice_of(each)
        overrides[name] = value
    return overrides


def _format(name: str) -> dict[str, Any]:
    if name.lower() not in _FORMATS:
        raise typer.BadParameter(f"--format is one of {', '.join(_FORMATS)}, not {name!r}")
    return _FORMATS[name.lower()]


def _one_character(option: str, value: str) -> str:
    if len(value) != 1 or value in "\r\n":
        raise typer.BadParameter(f"{option} takes one character, not {value!r}")
    return value


def _encoding(name: str) -> str:
    import codecs

    try:
        return codecs.lookup(name).name
    except LookupError:
        raise typer.BadParameter(f"--encoding {name!r} is not known") from None


def _choice_of(text: str) -> tuple[str, object]:
    """A name and a value: a number, true, false and null are what they are, everything else is text."""
    name, separator, value = text.partition("=")
    if not (separator and name):
        raise typer.BadParameter(f"--recipe takes NAME=VALUE, not {text!r}")
    words: dict[str, object] = {"true": True, "false": False, "null": None}
    return name, words.get(value, int(value) if value.isdecimal() else value)


def _type_of(text: str) -> tuple[str, str]:
    column, separator, type_name = text.partition("=")
    if not (separator and column and type_name):
        raise typer.BadParameter(f"--type takes COLUMN=TYPE, not {text!r}")
    return column, type_name

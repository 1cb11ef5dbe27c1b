"""Finds out how a file must be read, by its content, and takes in what a person wants otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.recipes import Format, Recipe
from metricfoundry_dagster.pipeline.find_encoding import Encoding, find_encoding
from metricfoundry_dagster.pipeline.recognise_format import HEAD_BYTES, TAIL_BYTES, recognise_format, unpack_head
from metricfoundry_dagster.pipeline.staging.decode_text import OPEN, is_text_encoding, utf8_head
from metricfoundry_dagster.pipeline.staging.find_records import find_records_pointer
from metricfoundry_dagster.pipeline.staging.json_document import JsonDocument
from metricfoundry_dagster.pipeline.staging.sniff_dialect import sniff_dialect

#: Other names for what is UTF-8 anyway.
_UTF8 = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "utf-8", "us-ascii": "utf-8", "utf-8-sig": "utf-8-sig"}
#: Which byte comes first is told by the text itself.
_EITHER_WAY = ("utf-16", "utf-32")
_CHOICES = {
    "format": ("csv", "json", "jsonl", "parquet", "sqlite", "excel"),
    "compression": ("none", "gzip"),
    "has_header": (True, False),
    "skip_spaces": (True, False),
    "typed": (True, False),
    "views": (True, False),
    "nested": ("json", "tables"),
}
_LEAST = {"header_rows": 1, "preamble_lines": 0}
LIMITS = Limits()
_MOST_FLATTENED = 100
_BLOCK_BYTES = 4 * 1024**2


def detect_recipe(path: Path, filename: str, overrides: Mapping[str, Any] | None = None, limits: Limits = LIMITS) -> Recipe:
    """How the file must be read, with the overrides in it. `filename` words the errors and decides between JSON and text.

    Raises:
        UserError: as `recognise_format` does; `csv.undecodable`; `request.invalid` for an impossible override.
    """
    given = _checked(overrides or {}, filename)
    head, tail, size_bytes = _ends(path)
    format_, compression = recognise_format(head, tail, filename, size_bytes)
    inside, complete = head, len(head) >= size_bytes
    if compression == "gzip":
        inside, complete = unpack_head(head, filename, whole=complete)
    recipe = Recipe(format_, compression).overridden(given)
    if recipe.format in ("parquet", "sqlite", "excel"):
        return recipe
    encoding = _encoding(inside, given, recipe.format, complete=complete)
    recipe = replace(recipe, encoding=encoding.name, confidence=encoding.confidence, runner_up=encoding.runner_up)
    if recipe.format in ("json", "jsonl"):
        sure = recipe if recipe.runner_up else replace(recipe, confidence=1.0)
        return _with_records(path, filename, sure, limits)
    text = utf8_head(inside, encoding.name, complete=complete)
    dialect = sniff_dialect(text, given, complete=complete, filename=filename)
    if not encoding.runner_up or dialect.confidence < encoding.confidence:
        recipe = replace(recipe, confidence=dialect.confidence, runner_up=dialect.runner_up)
    rule = dialect.rule
    return replace(
        recipe,
        delimiter=rule.delimiter,
        quote=rule.quote,
        escape=rule.escape,
        skip_spaces=rule.skip_spaces,
        has_header=dialect.has_header,
        header_rows=dialect.header_rows,
        preamble_lines=dialect.preamble_lines,
    )


def _encoding(inside: bytes, given: Mapping[str, Any], format_: Format, *, complete: bool) -> Encoding:
    if given.get("encoding") in _EITHER_WAY:
        found = find_encoding(inside, complete=complete)
        name = given["encoding"]
        return Encoding(found.name if found.name.startswith(name) else f"{name}-le", 1.0)
    if "encoding" in given:
        return Encoding(given["encoding"], 1.0)
    found = find_encoding(inside, complete=complete)
    if format_ in ("json", "jsonl") and not found.name.startswith("utf-"):
        return Encoding("utf-8", found.confidence, found.name)  # https://www.rfc-editor.org/rfc/rfc8259#section-8.1
    if format_ in ("json", "jsonl") and found.is_open:
        return replace(found, is_open=False)
    return replace(found, name=OPEN) if found.is_open else found


def _with_records(path: Path, filename: str, recipe: Recipe, limits: Limits) -> Recipe:
    """Lists of objects in a document become tables; in JSON Lines they stay text, as they did before there was a choice."""
    recipe = replace(recipe, nested=recipe.nested or ("tables" if recipe.format == "json" else "json"))
    if recipe.format == "jsonl" or recipe.records is not None:
        return recipe
    document = JsonDocument(path, recipe, filename, limits, _BLOCK_BYTES)
    return replace(recipe, records=find_records_pointer(document))


def _ends(path: Path) -> tuple[bytes, bytes, int]:
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        size_bytes = stream.seek(0, 2)
        stream.seek(max(size_bytes - TAIL_BYTES, 0))
        return head, stream.read(), size_bytes


def _checked(overrides: Mapping[str, Any], filename: str) -> dict[str, Any]:
    given = dict(overrides)
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            raise UserError("request.invalid", f"{name} cannot be {given[name]!r}; it is one of {', '.join(map(str, choices))}")
    if "encoding" in given:
        name = str(given["encoding"]).lower()
        if name not in _UTF8 and not is_text_encoding(name):
            raise UserError("request.invalid", f"there is no encoding {given['encoding']!r}", place=Place(file=filename))
        given["encoding"] = _UTF8.get(name, name)
    _check_marks(given)
    _check_nesting(given)
    for name, least in _LEAST.items():
        if name in given and not (isinstance(given[name], int) and given[name] >= least):
            raise UserError("request.invalid", f"{name} must be a whole number from {least} on, not {given[name]!r}")
    if not isinstance(given.get("types") or {}, Mapping):
        raise UserError("request.invalid", "types must map column names to types")
    return given


def _check_marks(given: Mapping[str, Any]) -> None:
    for name in ("delimiter", "quote", "escape"):
        char = given.get(name, ",")
        if not (name != "delimiter" and char is None) and not _is_mark(char):
            raise UserError("request.invalid", f"{name} must be one ASCII character, not {char!r}")
    if "delimiter" in given and given["delimiter"] == given.get("quote", '"'):
        raise UserError("request.invalid", "delimiter and quote must differ")


def _check_nesting(given: Mapping[str, Any]) -> None:
    pointer, depth = given.get("records"), given.get("flatten_depth", 1)
    if not (pointer is None or (isinstance(pointer, str) and (pointer == "" or pointer.startswith("/")))):
        raise UserError("request.invalid", f"records must be a JSON pointer such as /data/items, or empty, not {pointer!r}")
    if not (isinstance(depth, int) and 1 <= depth <= _MOST_FLATTENED):
        raise UserError("request.invalid", f"flatten_depth must be a number from 1 to {_MOST_FLATTENED}, not {depth!r}")


def _is_mark(char: object) -> bool:
    return isinstance(char, str) and len(char) == 1 and char.isascii() and char not in "\r\n\x00"

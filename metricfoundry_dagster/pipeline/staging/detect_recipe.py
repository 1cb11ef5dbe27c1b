"""Finds out how a file must be read, by its content, and takes in what a person wants otherwise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricfoundry_dagster.domain.errors import Place, UserError
from metricfoundry_dagster.domain.recipes import Recipe
from metricfoundry_dagster.pipeline.recognise_format import HEAD_BYTES, TAIL_BYTES, UTF8_BOM, recognise_format, unpack_head
from metricfoundry_dagster.pipeline.staging.sniff_dialect import sniff_dialect

#: What can be read now; others will be transcoded to UTF-8 where the bytes are unpacked.
_ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "utf-8", "us-ascii": "utf-8", "utf-8-sig": "utf-8-sig"}
_CHOICES = {"format": ("csv", "jsonl", "parquet"), "compression": ("none", "gzip"), "has_header": (True, False)}


def detect_recipe(path: Path, filename: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
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
    if recipe.format == "parquet":
        return recipe
    marked = inside.startswith(UTF8_BOM)
    encoding = {"encoding": "utf-8-sig" if marked else "utf-8"} | {k: v for k, v in given.items() if k == "encoding"}
    recipe = recipe.overridden(encoding)
    if recipe.format == "jsonl":
        return recipe
    dialect = sniff_dialect(inside.removeprefix(UTF8_BOM), given, complete=complete, filename=filename)
    return Recipe(
        "csv",
        recipe.compression,
        recipe.encoding,
        dialect.delimiter,
        dialect.quote,
        dialect.has_header,
        recipe.time_column,
        recipe.types,
        dialect.confidence,
        dialect.runner_up,
    )


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
        known = _ENCODINGS.get(str(given["encoding"]).lower())
        if known is None:
            raise UserError("csv.undecodable", f"text in {given['encoding']!r} cannot be read yet", place=Place(file=filename))
        given["encoding"] = known
    for name in ("delimiter", "quote"):
        char = given.get(name, ",")
        if not (name == "quote" and char is None) and not _is_mark(char):
            raise UserError("request.invalid", f"{name} must be one ASCII character, not {char!r}")
    if "delimiter" in given and given["delimiter"] == given.get("quote", '"'):
        raise UserError("request.invalid", "delimiter and quote must differ")
    if not isinstance(given.get("types") or {}, Mapping):
        raise UserError("request.invalid", "types must map column names to types")
    return given


def _is_mark(char: object) -> bool:
    return isinstance(char, str) and len(char) == 1 and char.isascii() and char not in "\r\n\x00"

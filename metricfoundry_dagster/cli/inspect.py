"""`metricfoundry inspect`: what would be read, and how sure that is."""

from typing import Annotated

import typer

from metricfoundry_dagster.cli.each_path import Document, do_each_path
from metricfoundry_dagster.cli.output import print_line, print_table
from metricfoundry_dagster.cli.recipe_options import (
    Choices,
    Delimiter,
    Encoding,
    Format,
    NoHeader,
    Quote,
    Types,
    recipe_overrides,
)


def inspect(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files of any supported format.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per path on standard output.")] = False,
    delimiter: Delimiter = None,
    quote: Quote = None,
    no_header: NoHeader = False,
    encoding: Encoding = None,
    format_name: Format = None,
    types: Types = None,
    choices: Choices = None,
) -> None:
    """Say what would be read, and how sure: format, dialect, tables, types, time column."""
    from metricfoundry_dagster.cli.inspect_alone import inspect_alone
    from metricfoundry_dagster.settings import load_settings

    overrides = recipe_overrides(
        delimiter, quote, no_header=no_header, encoding=encoding, format_name=format_name, types=types, choices=choices
    )
    settings = load_settings()
    do_each_path(paths, lambda _, path: inspect_alone(path, settings, overrides), as_json=as_json, show=_show)


def _show(document: Document) -> None:
    recipe = document["recipe"]
    for name, value in recipe.items():
        if value is not None and name not in {"confidence", "runner_up"}:
            print_line(f"{name + ':':<16}{value!r}")
    print_line(f"{'confidence:':<16}{recipe['confidence']:.0%}" + (f", or {recipe['runner_up']}" if recipe["runner_up"] else ""))
    for table in document["tables"]:
        columns = [(c["name"], c["source_name"], c["type"], "yes" if c["nullable"] else "no") for c in table["columns"]]
        basis = "types of the whole file" if table["whole_file"] else "types of the first rows"
        print_table(("column", "name in the file", "type", "nulls"), columns, title=f"Table {table['name']}: {basis}")
        print_line(f"time column: {table['time_column'] or 'none'}")

"""`metricfoundry profile`: the numbers of every column, with no server."""

from pathlib import Path
from typing import Annotated

import typer

from metricfoundry_dagster.cli.each_path import Document, do_each_path
from metricfoundry_dagster.cli.output import print_table, say
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


def profile(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files of any supported format.")],
    *,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report for people here, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per path on standard output.")] = False,
    delimiter: Delimiter = None,
    quote: Quote = None,
    no_header: NoHeader = False,
    encoding: Encoding = None,
    format_name: Format = None,
    types: Types = None,
    choices: Choices = None,
) -> None:
    """Count and measure every column."""
    from metricfoundry_dagster.cli.profile_alone import profile_alone
    from metricfoundry_dagster.settings import load_settings

    if html and len(paths) > 1:
        raise typer.BadParameter("--html takes one path")
    overrides = recipe_overrides(
        delimiter, quote, no_header=no_header, encoding=encoding, format_name=format_name, types=types, choices=choices
    )
    settings = load_settings()
    do_each_path(paths, lambda _, path: profile_alone(path, settings, overrides, html=html), as_json=as_json, show=_show)


def _show(document: Document) -> None:
    for table in document["tables"]:
        columns = [
            (c["name"], c["type"], c["nulls"], c["blanks"], c["distinct"], c["min"], c["max"], c["mean"], c["std"])
            for c in table["columns"]
        ]
        names = ("column", "type", "nulls", "blanks", "distinct", "min", "max", "mean", "std")
        print_table(
            names, columns, title=f"Table {table['name']}: {table['rows']:,} rows, {table['duplicate_rows']:,} duplicates"
        )
    for finding in document["findings"]:
        say(f"{finding['severity']}: {finding['message']} [{finding['code']}]")

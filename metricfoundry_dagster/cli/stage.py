"""`metricfoundry stage`: one stage alone, no server, no catalog."""

from typing import Annotated

import typer

from metricfoundry_dagster.cli.each_path import Document, do_each_path
from metricfoundry_dagster.cli.output import print_line
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


def stage(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files of any supported format.")],
    *,
    out: Annotated[str, typer.Option(metavar="DIR", help="Directory for the Parquet files; made if it is not there.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per path on standard output.")] = False,
    delimiter: Delimiter = None,
    quote: Quote = None,
    no_header: NoHeader = False,
    encoding: Encoding = None,
    format_name: Format = None,
    types: Types = None,
    choices: Choices = None,
) -> None:
    """Turn files into typed Parquet, and put unreadable rows aside with their reasons."""
    from metricfoundry_dagster.cli.stage_alone import stage_alone
    from metricfoundry_dagster.settings import load_settings

    overrides = recipe_overrides(
        delimiter, quote, no_header=no_header, encoding=encoding, format_name=format_name, types=types, choices=choices
    )
    settings = load_settings()

    def work(position: int, path: str) -> Document:
        return stage_alone(path, out, f"{position}/" if len(paths) > 1 else "", settings, overrides).to_json()

    do_each_path(paths, work, as_json=as_json, show=_show)


def _show(document: Document) -> None:
    for table in document["tables"]:
        counts = f"{table['rows_staged']:,} staged + {table['rows_rejected']:,} rejected"
        print_line(f"{table['name']}: {table['rows_read']:,} rows read = {counts}")
        if "error" in table:
            print_line(f"  failed: {table['error']['message']} [{table['error']['code']}] {table['error']['hint']}")
        for name in (*table["files"], *table["rejects"]):
            print_line(f"  {name}")

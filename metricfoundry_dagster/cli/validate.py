"""`metricfoundry validate`: a file judged by a contract, with no server."""

from typing import Annotated, Any

import typer

from metricfoundry_dagster.cli.exit_codes import USER
from metricfoundry_dagster.cli.output import print_json, print_line
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


def validate(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file of any supported format.")],
    *,
    contract: Annotated[str, typer.Option(help="Name of a contract, package.module:Model, or a YAML file.")],
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Keep the valid rows and the quarantine here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    delimiter: Delimiter = None,
    quote: Quote = None,
    no_header: NoHeader = False,
    encoding: Encoding = None,
    format_name: Format = None,
    types: Types = None,
    choices: Choices = None,
) -> None:
    """Judge every row by a contract; exit code 3 when it does not hold."""
    from metricfoundry_dagster.cli.validate_alone import validate_alone
    from metricfoundry_dagster.settings import load_settings

    overrides = recipe_overrides(
        delimiter, quote, no_header=no_header, encoding=encoding, format_name=format_name, types=types, choices=choices
    )
    document = validate_alone(path, contract, out, load_settings(), overrides)
    if as_json:
        print_json(document)
    else:
        _show(document)
    if document["verdict"] == "fail":
        raise typer.Exit(USER)


def _show(document: dict[str, Any]) -> None:
    print_line(f"{document['verdict']}: {document['summary']}")
    for table in document["tables"]:
        counts = f"{table['rows_valid']:,} valid + {table['rows_quarantined']:,} quarantined"
        print_line(
            f"{table['name']}: {table['rows_staged']:,} rows staged = {counts}, {table['rows_rejected']:,} could not be read"
        )
        for name in (*table["files"], *table["quarantine"]):
            print_line(f"  {name}")
    for finding in document["findings"]:
        print_line(f"  {finding['severity']}: {finding['message']} [{finding['code']}]")

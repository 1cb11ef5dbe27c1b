"""`metricfoundry druid-spec`: the ingestion spec that would be submitted."""

from typing import Annotated

import typer

from metricfoundry_dagster.cli.output import print_json, say
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
from metricfoundry_dagster.domain.datasets import Mode


def druid_spec(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file of any supported format.")],
    *,
    datasource: Annotated[str, typer.Option(help="Name of the datasource.")],
    mode: Annotated[Mode, typer.Option(help="Whether rows replace what is served, or are added.")] = Mode.REPLACE,
    time_column: Annotated[str | None, typer.Option(help="Column of the time; found by itself if not given.")] = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    no_header: NoHeader = False,
    encoding: Encoding = None,
    format_name: Format = None,
    types: Types = None,
    choices: Choices = None,
) -> None:
    """Print the ingestion spec of a file; why it is so is told on standard error."""
    from metricfoundry_dagster.cli.druid_spec_alone import SpecWishes, druid_spec_alone
    from metricfoundry_dagster.settings import load_settings

    overrides = recipe_overrides(
        delimiter, quote, no_header=no_header, encoding=encoding, format_name=format_name, types=types, choices=choices
    )
    tasks = druid_spec_alone(path, SpecWishes(datasource, mode, time_column), load_settings(), overrides)
    for task in tasks:
        for reason in task.reasons:
            say(f"{task.task['spec']['dataSchema']['dataSource']}: {reason}")
    print_json(tasks[0].task if len(tasks) == 1 else [task.task for task in tasks])

"""The command `metricfoundry`: all commands by name, and the one place where an error becomes an exit code."""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from metricfoundry_dagster.cli.datasets import datasets_app
from metricfoundry_dagster.cli.doctor import doctor
from metricfoundry_dagster.cli.druid_spec import druid_spec
from metricfoundry_dagster.cli.exit_codes import INTERNAL, exit_code_of
from metricfoundry_dagster.cli.ingest import ingest
from metricfoundry_dagster.cli.inspect import inspect
from metricfoundry_dagster.cli.output import error_document, print_error, print_json, print_line
from metricfoundry_dagster.cli.prepare import prepare
from metricfoundry_dagster.cli.profile import profile
from metricfoundry_dagster.cli.query import query
from metricfoundry_dagster.cli.stage import stage
from metricfoundry_dagster.cli.validate import validate
from metricfoundry_dagster.domain.errors import record_of

app = typer.Typer(
    help="Drop any file, get a trusted, queryable datasource.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print_line(f"metricfoundry {version('metricfoundry-dagster')}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Drop any file, get a trusted, queryable datasource."""


@app.command()
def up(port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of the web interface.")] = None) -> None:
    """Start everything embedded in one go: UI, API and daemon. Ctrl-C stops it all."""
    from metricfoundry_dagster.cli.up import up as run_up

    run_up(port)


@app.command()
def demo(port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of the web interface.")] = None) -> None:
    """Start everything, and let real sample data flow through it."""
    from metricfoundry_dagster.cli.demo import demo as run_demo

    run_demo(port)


app.command()(ingest)
app.add_typer(datasets_app, name="datasets")
app.command()(query)
app.command()(inspect)
app.command()(stage)
app.command()(validate)
app.command()(profile)
app.command("druid-spec")(druid_spec)
app.command()(prepare)
app.command()(doctor)


def main(arguments: Sequence[str] | None = None, *, commands: typer.Typer = app) -> None:
    """Run one command and leave with its exit code. The only boundary at which errors end.

    Raises:
        SystemExit: always. 0 done, 2 wrong usage or setting, 3 the user's error, 4 the world's, 70 ours.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        commands(given, prog_name="metricfoundry")
    except Exception as error:  # noqa: BLE001 - nothing is above this boundary
        sys.exit(_report(error, as_json="--json" in given))


def _report(error: Exception, *, as_json: bool) -> int:
    code, record = exit_code_of(error), record_of(error)
    if code == INTERNAL:
        traceback.print_exception(error, file=sys.stderr)
    print_error(record)
    if as_json:
        print_json(error_document(record))
    return code


if __name__ == "__main__":
    main()

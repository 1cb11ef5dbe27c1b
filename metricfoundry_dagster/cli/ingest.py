"""`metricfoundry ingest`: take files in and see them through, with nothing else running."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricfoundry_dagster.cli.exit_codes import exit_code_of_record, worst
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
from metricfoundry_dagster.domain.errors import ErrorRecord

if TYPE_CHECKING:
    from metricfoundry_dagster.actions.register import Registration, Wishes
    from metricfoundry_dagster.cli.carry_out import Ending
    from metricfoundry_dagster.cli.open_home import OpenHome
    from metricfoundry_dagster.domain.jobs import Job
    from metricfoundry_dagster.ports.bundle import Ports


def ingest(
    sources: Annotated[list[str], typer.Argument(metavar="PATH|URI…", help="Files, or addresses such as s3://bucket/key.")],
    *,
    datasource: Annotated[str | None, typer.Option(help="Name to serve it under; the file's own name if not given.")] = None,
    contract: Annotated[str | None, typer.Option(help="Name of a contract, or a YAML file.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Whether it takes the place of what is served, or is added.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is served.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per source on standard output.")] = False,
    delimiter: Delimiter = None,
    quote: Quote = None,
    no_header: NoHeader = False,
    encoding: Encoding = None,
    format_name: Format = None,
    types: Types = None,
    choices: Choices = None,
) -> None:
    """Take files in, validate, profile and serve them."""
    from metricfoundry_dagster.actions.register import Wishes

    recipe = recipe_overrides(
        delimiter, quote, no_header=no_header, encoding=encoding, format_name=format_name, types=types, choices=choices
    )
    outcomes = _ingest_all(sources, Wishes(datasource, mode, contract, recipe or None), wait=wait)
    _show(outcomes, as_json=as_json)
    if code := worst(exit_code_of_record(outcome.error) for outcome in outcomes):
        raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one source. `document` is empty when it was refused before anything was registered."""

    source: str
    document: dict[str, Any]
    error: ErrorRecord | None


def _ingest_all(sources: Sequence[str], wishes: "Wishes", *, wait: bool) -> list[_Outcome]:
    from metricfoundry_dagster.cli.carry_out import carry_out_with_bars
    from metricfoundry_dagster.cli.open_home import open_home

    home = open_home()
    registered = [_register(home.ports, source, wishes) for source in sources]
    unfinished = {each.job.job_id: each for each in registered if not isinstance(each, ErrorRecord) and not each.job.state.ended}
    if wait:
        endings = carry_out_with_bars(home, [(each.dataset.filename, each.job) for each in unfinished.values()])
    else:
        endings = _submit_all(home, [each.job for each in unfinished.values()])
    by_job = dict(zip(unfinished, endings, strict=True))
    return [_outcome(source, each, by_job, home.ports) for source, each in zip(sources, registered, strict=True)]


def _register(ports: "Ports", source: str, wishes: "Wishes") -> "Registration | ErrorRecord":
    """One source that is refused does not keep the others out."""
    from metricfoundry_dagster.actions.register import register_source
    from metricfoundry_dagster.domain.errors import UserError, WorldError

    try:
        return register_source(ports, source, wishes)
    except (UserError, WorldError) as error:
        return error.record


def _submit_all(home: "OpenHome", jobs: "Sequence[Job]") -> "list[Ending]":
    """Submit the jobs to Dagster. Without it they stay: as many processes as files would be too many at once."""
    from metricfoundry_dagster.cli.carry_out import Ending
    from metricfoundry_dagster.cli.output import say
    from metricfoundry_dagster.wiring import find_dagster

    _, answers = find_dagster(home.settings)
    if answers:
        return [_submit(home, job) for job in jobs]
    if jobs:
        say("Dagster is not running: what was registered waits until `metricfoundry up` takes it up.")
    return [Ending(job, None) for job in jobs]


def _submit(home: "OpenHome", job: "Job") -> "Ending":
    from metricfoundry_dagster.actions.request_run import request_run
    from metricfoundry_dagster.cli.carry_out import Ending
    from metricfoundry_dagster.domain.errors import WorldError

    try:
        return Ending(request_run(home.ports, home.runs, job.job_id), None)
    except WorldError as error:
        return Ending(job, error.record)


def _outcome(source: str, registered: "Registration | ErrorRecord", endings: "dict[str, Ending]", ports: "Ports") -> _Outcome:
    from metricfoundry_dagster.actions.look_up import look_up
    from metricfoundry_dagster.cli.carry_out import Ending
    from metricfoundry_dagster.cli.dataset_documents import dataset_document, report_uri, row_counts, served_tables

    if isinstance(registered, ErrorRecord):
        return _Outcome(source, {}, registered)
    view = look_up(ports, registered.dataset.dataset_id)
    ending = endings.get(registered.job.job_id) or Ending(registered.job, registered.job.error)
    document = {
        **dataset_document(view.dataset, ending.job),
        "already_there": registered.already_there,
        "rows": row_counts(view),
        "served_as": served_tables(view),
        "report": report_uri(view, ports.store),
    }
    return _Outcome(source, document, ending.error)


def _show(outcomes: list[_Outcome], *, as_json: bool) -> None:
    from metricfoundry_dagster.cli.output import print_error, print_json

    for outcome in outcomes:
        error = outcome.error
        if error:
            print_error(error)
        if as_json:
            failure = {"error": error.to_json()} if error else {}
            print_json({"status": "error" if error else "ok", "path": outcome.source, **failure, **outcome.document})
        elif outcome.document:
            _show_dataset(outcome.document)


def _show_dataset(document: dict[str, Any]) -> None:
    from metricfoundry_dagster.cli.output import print_line

    print_line(
        f"{document['dataset_id']}  {document['job']['state']}" + ("  (already there)" if document["already_there"] else "")
    )
    rows = document["rows"]
    if rows["read"]:
        print_line("  rows:      " + ", ".join(f"{count:,} {name}" for name, count in rows.items()))
    for table in document["served_as"]:
        print_line(f"  served as: {table['name']}  ({table['rows']:,} rows)")
    for name, count in (("rejects", rows["rejected"]), ("quarantine", rows["quarantined"])):
        if count:
            print_line(f"  {name + ':':<10} metricfoundry datasets {name} {document['dataset_id']}")
    if document["served_as"]:
        print_line(f"  query:     metricfoundry query 'FROM {document['served_as'][0]['name']} LIMIT 10'")
    if document["report"]:
        print_line(f"  report:    {document['report']}")

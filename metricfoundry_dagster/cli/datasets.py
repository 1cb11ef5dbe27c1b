"""`metricfoundry datasets`: look at what there is, and act on it."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metricfoundry_dagster.cli.output import error_document, print_error, print_json, print_line, print_table, say
from metricfoundry_dagster.domain.jobs import JobState

if TYPE_CHECKING:
    from metricfoundry_dagster.actions.look_up import DatasetView
    from metricfoundry_dagster.cli.open_home import OpenHome
    from metricfoundry_dagster.ports.bundle import Ports

datasets_app = typer.Typer(help="List, show and act on datasets.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's id, or a datasource for its newest one.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="Most rows to show.")]


@datasets_app.command("list")
def list_datasets(
    *,
    datasource: Annotated[str | None, typer.Option(help="Only of this datasource.")] = None,
    state: Annotated[JobState | None, typer.Option(help="Only with the newest job in this state.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List datasets, newest first."""
    from metricfoundry_dagster.cli.dataset_documents import dataset_document
    from metricfoundry_dagster.cli.show_dataset import show_datasets
    from metricfoundry_dagster.domain.datasets import slug_of
    from metricfoundry_dagster.ports.catalog import DatasetFilter

    slug = slug_of(datasource) if datasource else None
    found = _open_home().ports.catalog.datasets(DatasetFilter(slug, state, limit))
    if as_json:
        print_json({"status": "ok", "datasets": [dataset_document(dataset, job) for dataset, job in found]})
    else:
        show_datasets(found)


@datasets_app.command()
def show(dataset: Reference, *, as_json: AsJson = False) -> None:
    """Show one dataset: its jobs, what each stage gave, where it is served, and the versions of its datasource."""
    from metricfoundry_dagster.actions.look_up import look_up
    from metricfoundry_dagster.cli.dataset_documents import view_document
    from metricfoundry_dagster.cli.show_dataset import show_dataset

    ports = _open_home().ports
    view = look_up(ports, dataset)
    if as_json:
        print_json({"status": "ok", **view_document(view, ports.store)})
    else:
        show_dataset(view, ports.store)


@datasets_app.command()
def files(dataset: Reference, *, as_json: AsJson = False) -> None:
    """List every published file of a dataset with its address."""
    ports, view = _look_up(dataset)
    rows = [
        {
            "stage": stage.value,
            "role": file.role,
            "table": file.table,
            "rows": file.rows,
            "size_bytes": file.size_bytes,
            "uri": ports.store.uri(file.root, file.key),
        }
        for stage, product in view.products.items()
        for file in product.files
    ]
    if as_json:
        print_json({"status": "ok", "dataset_id": view.dataset.dataset_id, "files": rows})
    else:
        print_table(("stage", "role", "table", "rows", "bytes", "address"), [tuple(row.values()) for row in rows])


@datasets_app.command()
def report(
    dataset: Reference,
    *,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print where the profile report lies, or open it."""
    from metricfoundry_dagster.cli.dataset_documents import report_uri
    from metricfoundry_dagster.domain.errors import NotFoundError

    ports, view = _look_up(dataset)
    uri = report_uri(view, ports.store)
    if uri is None:
        hint = "`metricfoundry datasets show` tells how far the dataset is."
        raise NotFoundError("stage.upstream_missing", f"{view.dataset.dataset_id} has no report yet", hint=hint)
    if as_json:
        print_json({"status": "ok", "dataset_id": view.dataset.dataset_id, "report": uri})
    else:
        print_line(uri)
    if open_it:
        typer.launch(uri)


@datasets_app.command()
def rejects(dataset: Reference, limit: Limit = 20, *, as_json: AsJson = False) -> None:
    """Show rows that could not be read: line, column, code, reason and raw text."""
    _show_rejected(dataset, "rejects", limit, as_json=as_json)


@datasets_app.command()
def quarantine(dataset: Reference, limit: Limit = 20, *, as_json: AsJson = False) -> None:
    """Show rows that break the contract, with the reason of each."""
    _show_rejected(dataset, "quarantine", limit, as_json=as_json)


@datasets_app.command()
def retry(
    dataset: Reference,
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    as_json: AsJson = False,
) -> None:
    """Take a dataset through the flow again."""
    from metricfoundry_dagster.actions.look_up import find_dataset
    from metricfoundry_dagster.actions.retry import retry as retry_dataset
    from metricfoundry_dagster.cli.carry_out import carry_out_with_bars
    from metricfoundry_dagster.cli.dataset_documents import job_document
    from metricfoundry_dagster.cli.exit_codes import exit_code_of_record

    home = _open_home()
    found = find_dataset(home.ports, dataset)
    job = retry_dataset(home.ports, home.runs, found.dataset_id)
    error = job.error
    if wait:
        ending = carry_out_with_bars(home, [(found.filename, job)])[0]
        job, error = ending.job, ending.error
    if error:
        print_error(error)
    failure = error_document(error) if error else {}
    document = {**failure, "dataset_id": found.dataset_id, "job": job_document(job)}
    _tell(document, f"{found.dataset_id}  {job.state}", as_json=as_json)
    raise typer.Exit(exit_code_of_record(error))


@datasets_app.command()
def cancel(dataset: Reference, *, as_json: AsJson = False) -> None:
    """Cancel the job of a dataset that is under way."""
    from metricfoundry_dagster.actions.cancel import cancel as cancel_dataset
    from metricfoundry_dagster.actions.look_up import find_dataset
    from metricfoundry_dagster.cli.dataset_documents import job_document

    home = _open_home()
    job = cancel_dataset(home.ports, home.runs, find_dataset(home.ports, dataset).dataset_id)
    _tell({"dataset_id": job.dataset_id, "job": job_document(job)}, f"{job.dataset_id}  {job.state}", as_json=as_json)


@datasets_app.command()
def rollback(
    datasource: Annotated[str, typer.Argument(metavar="DATASOURCE", help="Name of the datasource.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Serve the version before the current one again."""
    from metricfoundry_dagster.actions.rollback import rollback as roll_back
    from metricfoundry_dagster.cli.dataset_documents import version_document

    version = roll_back(_open_home().ports, datasource)
    text = f"{version.datasource} is back at version {version.number} ({version.rows:,} rows)"
    _tell({"version": version_document(version)}, text, as_json=as_json)


def _tell(document: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"status": "ok", **document})
    else:
        print_line(text)


def _show_rejected(reference: str, role: Literal["rejects", "quarantine"], limit: int, *, as_json: bool) -> None:
    from metricfoundry_dagster.actions.read_rejected_rows import count_rejected_rows, read_rejected_rows

    ports, view = _look_up(reference)
    rows, total = read_rejected_rows(view, ports.store, role, limit), count_rejected_rows(view, role)
    if as_json:
        print_json({"status": "ok", "dataset_id": view.dataset.dataset_id, "total": total, "rows": rows})
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print_table(columns, [[row.get(column) for column in columns] for row in rows])
    say(f"{len(rows):,} of {total:,} rows" + ("; --limit shows more" if len(rows) < total else ""))


def _look_up(reference: str) -> "tuple[Ports, DatasetView]":
    from metricfoundry_dagster.actions.look_up import look_up

    ports = _open_home().ports
    return ports, look_up(ports, reference)


def _open_home() -> "OpenHome":
    from metricfoundry_dagster.cli.open_home import open_home

    return open_home()

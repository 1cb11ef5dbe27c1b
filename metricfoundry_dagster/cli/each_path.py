"""One document for each path: what `stage`, `inspect` and `profile` have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from metricfoundry_dagster.cli.exit_codes import exit_code_of, worst
from metricfoundry_dagster.cli.output import error_document, print_error, print_json
from metricfoundry_dagster.domain.errors import MetricFoundryError

Document = Mapping[str, Any]


def do_each_path(
    paths: Sequence[str], work: Callable[[int, str], Document], *, as_json: bool, show: Callable[[Document], None]
) -> None:
    """Work on each path, given its position from 0, and show its document.

    With several paths an error of one does not keep the others back: it is shown in its place, and decides the
    exit code at the end. With one path it is raised.
    """
    codes = []
    for position, path in enumerate(paths):
        try:
            document, code = work(position, path), 0
        except MetricFoundryError as error:
            if len(paths) == 1:
                raise
            print_error(error.record)
            document, code = error_document(error.record), exit_code_of(error)
        codes.append(code)
        if as_json:
            print_json(document if len(paths) == 1 else {"path": path, **document})
        elif not code:
            show(document)
    if worst(codes):
        raise typer.Exit(worst(codes))

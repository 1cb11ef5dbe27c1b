"""`metricfoundry doctor`: each setting and server, whether it is well, and what to do if not."""

from typing import Annotated

import typer

from metricfoundry_dagster.cli.exit_codes import worst
from metricfoundry_dagster.cli.output import print_json, print_line


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False) -> None:
    """Look at every setting and server, and say what to do about what is not well."""
    from metricfoundry_dagster.cli.examine import examine
    from metricfoundry_dagster.settings import load_settings

    checks = examine(load_settings())
    code = worst(check.exit_code for check in checks)
    if as_json:
        print_json({"status": "error" if code else "ok", "checks": [check.to_json() for check in checks]})
    else:
        for check in checks:
            print_line(f"{check.verdict:<7} {check.name:<14} {check.detail}")
            if check.next_step:
                print_line(f"{'':<22} → {check.next_step}")
    if code:
        raise typer.Exit(code)

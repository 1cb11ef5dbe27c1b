"""`metricfoundry doctor`: each setting and server, whether it is well, and what to do if not."""

from typing import Annotated, Any

import typer

from metricfoundry_dagster.cli.exit_codes import WORLD, exit_code_of, worst
from metricfoundry_dagster.cli.output import print_json, print_line
from metricfoundry_dagster.domain.checks import Check


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False) -> None:
    """Look at every setting and server, and say what to do about what is not well."""
    from metricfoundry_dagster.cli.examine import examine
    from metricfoundry_dagster.settings import load_settings

    checks = examine(load_settings())
    code = worst(_exit_code(check) for check in checks)
    if as_json:
        print_json({"status": "error" if code else "ok", "checks": [_as_json(check) for check in checks]})
    else:
        for check in checks:
            print_line(f"{check.verdict:<7} {check.name:<20} {check.detail}")
            if check.next_step:
                print_line(f"{'':<28} → {check.next_step}")
    if code:
        raise typer.Exit(code)


def _exit_code(check: Check) -> int:
    """That of the error behind a failure; what a server refused is the world's."""
    if check.verdict != "failed":
        return 0
    return exit_code_of(check.error) if check.error else WORLD


def _as_json(check: Check) -> dict[str, Any]:
    """A check as the contract of `--json` has it."""
    return {
        "name": check.name,
        "verdict": check.verdict,
        "detail": check.detail,
        "next_step": check.next_step,
        "exit_code": _exit_code(check),
    }

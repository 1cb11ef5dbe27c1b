"""`metricfoundry query`: SQL over what is served."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from metricfoundry_dagster.cli.output import json_value, print_json, print_table, say

if TYPE_CHECKING:
    from metricfoundry_dagster.domain.served import QueryAnswer


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement that reads.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document: columns, types, rows.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header; cells exactly as they are served.")] = False,
) -> None:
    """Run SQL over everything that is served; each datasource is a table."""
    from metricfoundry_dagster.cli.open_home import open_home

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    home = open_home()
    answer = home.ports.engine.query(sql, home.settings.max_query_rows)
    if as_json:
        print_json({"status": "ok", "columns": answer.columns, "types": answer.types, "rows": answer.rows})
    elif as_csv:
        _print_csv(answer)
    else:
        print_table(answer.columns, answer.rows)
        say(f"{len(answer.rows):,} rows")


def _print_csv(answer: "QueryAnswer") -> None:
    """RFC 4180 with line feeds. Null is an empty cell and an empty text a quoted one, so that the two stay apart."""
    for row in ([*answer.columns], *answer.rows):
        sys.stdout.write(",".join(_csv_cell(value) for value in row) + "\n")


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else _plain_text(value)
    must_quote = not text or any(char in text for char in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if must_quote else text


def _plain_text(value: object) -> str:
    plain = json_value(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)

"""What a command says: results on standard output, everything else on standard error, nothing that controls a terminal.

Put here how things are shown. What is shown is decided by the commands.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from metricfoundry_dagster.domain.errors import ErrorRecord

if TYPE_CHECKING:
    from rich.console import Console


def print_json(document: object) -> None:
    """One JSON document on one line of standard output. Not-a-number and infinity, which JSON lacks, become null."""
    text = json.dumps(json_value(document), ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json_value(document), allow_nan=False)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def json_value(value: Any) -> Any:
    """The value in JSON's words: times in ISO 8601, decimals as text so that no digit is lost, bytes in hexadecimal."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case Mapping():
            return {str(key): json_value(each) for key, each in value.items()}
        case list() | tuple() | set():
            return [json_value(each) for each in value]
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case Decimal():
            return format(value, "f")
    return str(value)


def print_line(text: str) -> None:
    """One line of a result for people, on standard output."""
    _write(sys.stdout, text)


def say(text: str) -> None:
    """One line that is no result, on standard error."""
    _write(sys.stderr, text)


def print_error(record: ErrorRecord) -> None:
    """An error for people, on standard error: message, code, place, hint."""
    say(f"Error: {record.message}")
    say(f"  code:  {record.code}")
    if str(record.place):
        say(f"  place: {record.place}")
    say(f"  hint:  {record.hint}")


def error_document(record: ErrorRecord) -> dict[str, Any]:
    """An error for programs."""
    return {"status": "error", "error": record.to_json()}


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table for people, on standard output. None is shown as nothing; no cell is cut when output is no terminal."""
    from rich.table import Table
    from rich.text import Text

    if not columns:
        return
    table = Table(title=Text(visible(title)) if title else None, title_justify="left")
    for column in columns:
        table.add_column(Text(visible(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    _console().print(table)


def visible(text: str) -> str:
    """The text with control characters spelled out, so that data cannot steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return visible(str(value))


def _write(stream: Any, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(visible(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def _console() -> "Console":
    """Standard output as Rich sees it; wide enough for whole cells when it goes to a file or a pipe."""
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    return Console(width=None if is_terminal else 10_000, highlight=False, soft_wrap=False)

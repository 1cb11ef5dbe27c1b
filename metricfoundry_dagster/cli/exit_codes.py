"""What exit code an error has: whose fault it was, as a number for scripts. Applied in `main.py`."""

from collections.abc import Iterable

from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster.domain.errors import ErrorRecord, SettingsError, UserError, WorldError

USAGE = 2
USER = 3
WORLD = 4
INTERNAL = 70

_BY_BRANCH = {"user": USER, "row": USER, "world": WORLD, "internal": INTERNAL}


def exit_code_of(error: BaseException) -> int:
    """The exit code of an error that reached the edge; anything that we did not raise ourselves is our bug."""
    if isinstance(error, SettingsError):
        return USAGE
    if isinstance(error, UserError):
        return USER
    return WORLD if isinstance(error, WorldError) else INTERNAL


def exit_code_of_record(record: ErrorRecord | None) -> int:
    """The exit code of an error that was kept as data; 0 without one."""
    return 0 if record is None else _BY_BRANCH[ERROR_CODES[record.code].branch]


def worst(codes: Iterable[int]) -> int:
    """The exit code of a command that did several things: a bug outweighs the world, and that the user's own."""
    return max(codes, default=0)

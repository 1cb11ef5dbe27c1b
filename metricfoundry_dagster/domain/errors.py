"""The one tree of errors. Its three branches decide everything downstream.

    MetricFoundryError
      UserError               the file or the request is wrong: never retried, exit code 3
        NotFoundError         there is no such dataset, datasource, contract or version
        ConflictError         the request does not fit what is there already
        SettingsError         a setting is wrong: nothing was begun, exit code 2 like any wrong usage
      WorldError              store, database or engine is away: retried with backoff and jitter, exit code 4
      InternalError           a bug of ours: never retried, alarm, exit code 70
        FencedError           a newer attempt exists; this writer must stop without a trace

Put here what is raised. Judgements on data are values, see `findings.py`; the catalogue of codes is
`error_codes.py`. How a branch becomes an exit code, a retry or an HTTP status is decided at the edges.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metricfoundry_dagster.domain.error_codes import ERROR_CODES


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the input something is wrong. Every part may be None; `line` and `row` count from 1."""

    file: str | None = None
    member: str | None = None
    table: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None
    json_path: str | None = None

    def __str__(self) -> str:
        parts = (f"{name} {value}" for name, value in asdict(self).items() if value is not None)
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error as it is kept in the catalog, a manifest and JSON output; holds no secret."""

    code: str
    message: str
    place: Place
    hint: str

    def to_json(self) -> dict[str, Any]:
        """`place` holds only the parts that are known."""
        place = {name: value for name, value in asdict(self.place).items() if value is not None}
        return {"code": self.code, "message": self.message, "place": place, "hint": self.hint}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ErrorRecord":
        """The inverse of `to_json`."""
        return cls(document["code"], document["message"], Place(**document["place"]), document["hint"])


class MetricFoundryError(Exception):
    """Anything that we raise on purpose.

    `code` is a key of `ERROR_CODES`; `message` carries the offending value; `hint` says what to do next and
    defaults to the catalogue's.
    """

    def __init__(self, code: str, message: str, *, place: Place | None = None, hint: str | None = None) -> None:
        super().__init__(f"{message} [{code}]")
        self.record = ErrorRecord(code, message, place or Place(), hint or ERROR_CODES[code].hint)

    @property
    def code(self) -> str:
        """The stable code."""
        return self.record.code

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the record when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.record))


class UserError(MetricFoundryError):
    """The file or the request is wrong; trying again changes nothing."""


class NotFoundError(UserError):
    """What was asked for does not exist."""


class ConflictError(UserError):
    """The request contradicts what is there already."""


class SettingsError(UserError):
    """A setting has a value that is not allowed."""


class WorldError(MetricFoundryError):
    """Something outside did not answer as it should; trying again may help."""


class InternalError(MetricFoundryError):
    """A bug of ours."""


class FencedError(InternalError):
    """A newer attempt of the dataset exists, so this one may not publish."""


def record_of(error: BaseException) -> ErrorRecord:
    """The error as it is kept and shown. Of one that nobody foresaw only its kind: its text may hold anything, secrets too."""
    if isinstance(error, MetricFoundryError):
        return error.record
    return InternalError("unexpected", f"{type(error).__name__} was raised, which nobody foresaw").record


def _rebuild(kind: type[MetricFoundryError], record: ErrorRecord) -> MetricFoundryError:
    return kind(record.code, record.message, place=record.place, hint=record.hint)

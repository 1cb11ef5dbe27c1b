"""Requests to a server of Druid's: JSON both ways, a timeout on each, and patience while it is away.

All that we ask of Druid may be asked twice, so a lost reply is answered by asking again; what an answer means is for
the modules that ask. A body that is no JSON, as a 503 of Jetty's in HTML or an empty 404, is normal and is no answer.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import stamina
from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

from metricfoundry_dagster.domain.errors import WorldError

# Where structlog happens to be installed stamina prints on standard output, which belongs to the documents of `--json`.
set_on_retry_hooks([LoggingOnRetryHook])

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
#: Not answers but ways of saying that nobody is there to give one, as while another Overlord takes over.
_AWAY = frozenset({429, 500, 502, 503, 504})
_MAX_MESSAGE_CHARS = 500


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `document` is None for a body that is no JSON."""

    status: int
    document: Any

    @property
    def succeeded(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """What Druid says is wrong, cut to some hundred characters; it never holds what we sent."""
        document = self.document if isinstance(self.document, Mapping) else {}
        text = document.get("errorMessage") or document.get("error") or f"status {self.status}"
        return shortened(str(text))


@dataclass(frozen=True, slots=True)
class DruidAccess:
    """Whom Druid is told that we are, and for how long we ask again while it is away."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    patience_seconds: float = 60.0
    #: Certificates of the authorities to trust, in place of those that come with requests; None for those.
    ca_file: Path | None = None


class DruidHttp:
    """One server. May be used by many threads, and on both sides of a fork."""

    def __init__(self, url: str, access: DruidAccess) -> None:
        self.url = url.rstrip("/")
        self._access = access
        self._kept = threading.local()

    def get(self, path: str, *, patience_seconds: float | None = None) -> Reply:
        """Ask for a document.

        Raises:
            WorldError: `druid.unreachable` when nobody answers for as long as our patience lasts.
        """
        patience = self._access.patience_seconds if patience_seconds is None else patience_seconds
        return self._ask("GET", path, None, patience_seconds=patience)

    def post(
        self, path: str, body: object, *, patience_seconds: float | None = None, read_seconds: float = _READ_SECONDS
    ) -> Reply:
        """Send a document that may arrive twice. Raises as `get`."""
        patience = self._access.patience_seconds if patience_seconds is None else patience_seconds
        return self._ask("POST", path, body, patience_seconds=patience, read_seconds=read_seconds)

    def refused(self, what: str, reply: Reply) -> WorldError:
        """The error for an answer that is none of those foreseen."""
        hint = "Check METRICFOUNDRY_DRUID_USERNAME and METRICFOUNDRY_DRUID_PASSWORD." if reply.status in {401, 403} else None
        return WorldError("druid.refused", f"{what}: {self.url} answers {reply.status}: {reply.message}", hint=hint)

    def _ask(
        self, method: str, path: str, body: object, *, patience_seconds: float, read_seconds: float = _READ_SECONDS
    ) -> Reply:
        once = 1 if patience_seconds <= 0 else None
        retries = stamina.retry_context(
            on=_NobodyThereError, attempts=once, timeout=patience_seconds or None, wait_initial=0.2, wait_max=5.0
        )
        try:
            for attempt in retries:
                with attempt:
                    return self._ask_once(method, path, body, read_seconds)
        except _NobodyThereError as error:
            raise WorldError("druid.unreachable", f"{self.url}: {error}") from None
        raise AssertionError("a retry ends with an answer or an error")

    def _ask_once(self, method: str, path: str, body: object, read_seconds: float) -> Reply:
        timeouts = (_CONNECT_SECONDS, read_seconds)
        try:
            response = self._session().request(method, self.url + path, json=body, timeout=timeouts)
            content = response.content
        except requests.RequestException as error:
            raise _NobodyThereError(type(error).__name__) from None  # its text may hold an address with a password
        reply = Reply(response.status_code, _document_of(response, content))
        if reply.status in _AWAY and not _is_druids_own_error(reply):
            raise _NobodyThereError(f"status {reply.status}")
        return reply

    def _session(self) -> requests.Session:
        kept = getattr(self._kept, "session", None)
        if kept is None or self._kept.process_id != os.getpid():
            kept = _Session()
            kept.trust_env = False  # a proxy of the environment or a .netrc has no business here
            kept.headers["Accept"] = "application/json"  # without it some calls answer 500 although they were done
            if self._access.ca_file:
                kept.verify = str(self._access.ca_file)
            if self._access.username:
                kept.auth = (self._access.username, self._access.password or "")
            self._kept.session, self._kept.process_id = kept, os.getpid()
        return kept


def shortened(text: str) -> str:
    """The first line of a message, cut."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _MAX_MESSAGE_CHARS else line[: _MAX_MESSAGE_CHARS - 1] + "…"


class _Session(requests.Session):
    """Says who we are to the leader as well, to which an Overlord that does not lead sends us: another host, as a rule."""

    def should_strip_auth(self, old_url: str, new_url: str) -> bool:
        """Only from a connection that is secret to one that is not."""
        return urlsplit(old_url).scheme == "https" and urlsplit(new_url).scheme != "https"


class _NobodyThereError(Exception):
    """The server cannot be reached, or says that it cannot answer now."""


def _document_of(response: requests.Response, content: bytes) -> Any:
    if not content:
        return None
    try:
        return response.json()
    except ValueError:
        return None


def _is_druids_own_error(reply: Reply) -> bool:
    """A failed query is answered with 500 or 504 and a document that tells why; asking again would not help."""
    document = reply.document
    return isinstance(document, Mapping) and reply.status in {500, 504} and ("errorMessage" in document or "error" in document)

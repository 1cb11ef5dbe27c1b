"""A web server that answers what a test wrote down, one answer after the other, the last one for ever."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """`document` goes as JSON; `body` as it is. With `lost` the connection is closed when the request was read."""

    status: int = 200
    document: Any = None
    body: bytes | None = None
    lost: bool = False
    #: Where the client is sent instead.
    location: str | None = None
    #: How many bytes of the body are sent before the connection is closed; None sends them all.
    cut_at: int | None = None


@dataclass
class ScriptedServer:
    """`url` is where it answers; `asked` holds what came: method, path, document and headers."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> Answer:
        """The next answer for a path; the longest key that the path begins with counts."""
        key = max((key for key in self.answers if path.startswith(key)), key=len)
        answers = self.answers[key]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for _, path, _, _ in self.asked]


@contextmanager
def scripted_server(answers: dict[str, list[Answer]]) -> Iterator[ScriptedServer]:
    """A server on a free port of this machine, gone afterwards."""
    script = ScriptedServer(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """Nothing is to be said."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            document = json.loads(body) if body else None
            script.asked.append((self.command, self.path, document, dict(self.headers)))
            answer = script.answer(self.path)
            if answer.lost:
                self.close_connection = True
                return
            content = answer.body if answer.body is not None else json.dumps(answer.document).encode()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            if answer.location is not None:
                self.send_header("Location", answer.location)
            self.end_headers()
            self.wfile.write(content[: answer.cut_at])
            self.close_connection = answer.cut_at is not None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        server.shutdown()
        thread.join()

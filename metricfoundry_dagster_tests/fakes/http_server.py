"""An HTTP server on this machine that answers by a function, and may live at another time."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: a document as JSON, or text as it is."""

    document: object = None
    status: int = 200
    text: str | None = None


@contextmanager
def http_server(answer: Callable[[str, str], Answer], *, ahead_seconds: float = 0) -> Iterator[str]:
    """The address of a server that gives `answer(method, path)`, with a `Date` that many seconds ahead of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond()

        def do_PUT(self) -> None:
            self._respond()

        def do_POST(self) -> None:
            self._respond()

        def do_DELETE(self) -> None:
            self._respond()

        def _respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answer(self.command, self.path)
            content = (json.dumps(found.document) if found.text is None else found.text).encode()
            self.send_response_only(found.status)
            self.send_header("Date", formatdate(time() + ahead_seconds, usegmt=True))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing is to be said."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

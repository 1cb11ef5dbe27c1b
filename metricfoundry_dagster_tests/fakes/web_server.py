"""A web server that answers like Dagster's, with what a test puts into it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebServer:
    """`url` is where it answers; `asked` holds the queries that came. `answers` maps a word of the query to its data."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {
            "addDynamicPartition": {"addDynamicPartition": {"__typename": "AddDynamicPartitionSuccess"}},
            "launchRun": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "launched"}}},
        }
        self.url = ""

    def answer(self, query: str) -> Any:
        """The data for one query."""
        self.asked.append(query)
        return next(data for word, data in self.answers.items() if word in query)


@contextmanager
def web_server() -> Iterator[WebServer]:
    """A server on a free port of this machine, gone afterwards."""
    answers = WebServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"dagster_version": "1"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send({"data": answers.answer(body["query"])})

        def log_message(self, *_: object) -> None:
            """Nothing is to be said."""

        def _send(self, document: object) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answers.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield answers
        server.shutdown()
        thread.join()

"""A proxy that lets a server do what it is asked and loses its reply, once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


@dataclass
class CuttingProxy:
    """`url` is where it answers; `cut` counts the replies that were lost."""

    url: str = ""
    cut: int = 0


@contextmanager
def cutting_proxy(behind: str, path: str) -> Iterator[CuttingProxy]:
    """Pass everything on to the server `behind`; the first reply to a POST whose path begins with `path` gets lost."""
    proxy = CuttingProxy()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on("GET")

        def do_POST(self) -> None:
            self._pass_on("POST")

        def log_message(self, *_: object) -> None:
            """Nothing is to be said."""

        def _pass_on(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers}
            reply = requests.request(method, behind + self.path, data=body, headers=headers, timeout=60)
            with lock:
                is_lost = method == "POST" and self.path.startswith(path) and not proxy.cut
                proxy.cut += is_lost
            if is_lost:
                self.close_connection = True
                return
            self.send_response(reply.status_code)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield proxy
        server.shutdown()
        thread.join()

"""An S3 server on loopback, and a way to it that fails as it is told.

`Way` forwards each request to the server and counts what passes. Its `fault` is asked before each one; what it
answers is done: an HTTP status, or one of 403 with some bytes, is sent instead, "drop" closes the connection, "lost"
does so once the server has done what it was asked, "cut" in the middle of the answer's body, "trickle" sends it by 50
kB every 0.15 s, a float waits for so many seconds first, and anything that can be called is called.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

BUCKET = "survey"
SECRET = "canary-5ecret-that-nobody-may-see"

Fault = Callable[[str, str], Any]
"""What is to happen to a request (method, path); None to let it pass."""


class Way:
    """A proxy before a server."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.fault: Fault = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.bytes_out = 0
        self.lock = threading.Lock()
        way = self

        class Handler(_Handler):
            owner = way

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a process of it."""
        return {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """A request of the test's own, straight to the server."""
        plain = {"Content-Type": "application/octet-stream"}
        request = Request(f"http://127.0.0.1:{self.server}{path}", body, plain, method=method)
        with urlopen(request, timeout=20) as answer:
            return bytes(answer.read())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Way

    def _pass(self) -> None:
        owner, n = self.owner, int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(n)
        with owner.lock:
            owner.requests.append((self.command, self.path))
            what = owner.fault(self.command, self.path)
        if callable(what):
            what = what()
        if isinstance(what, float):
            time.sleep(what)
            what = None
        if what == "drop":
            self.close_connection = True
            return
        if isinstance(what, (int, bytes)):
            self.send_response(what if isinstance(what, int) else 403)
            text = what if isinstance(what, bytes) else b""
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        link = HTTPConnection("127.0.0.1", owner.server, timeout=60)
        try:
            headers = {key: value for key, value in self.headers.items() if key.lower() != "connection"}
            link.request(self.command, self.path, body, headers)
            answer = link.getresponse()
            data = answer.read()
        finally:
            link.close()
        if what == "lost":
            self.close_connection = True
            return
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length", "server", "date"):
                self.send_header(key, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if what == "cut":
            data = data[: len(data) // 2]
            self.close_connection = True
        with owner.lock:
            owner.bytes_out += len(data)
        if what == "trickle":
            for k in range(0, len(data), 50_000):
                self.wfile.write(data[k : k + 50_000])
                time.sleep(0.15)
            return
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def s3_server() -> Iterator[Way]:
    """A server with an empty bucket, and the way to it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    way = Way(server.get_host_and_port()[1])
    try:
        way.ask("POST", "/moto-api/reset")  # its objects are those of the process
        way.ask("PUT", f"/{BUCKET}")
        yield way
    finally:
        way.close()
        server.stop()

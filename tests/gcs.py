"""A bucket of Google's on loopback: of its XML interface what reading, writing, listing and conditional writes take."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "survey"
_DATE = "2026-01-01T00:00:00.000Z"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, tuple[bytes, int]]
    """Bytes and generation by key."""
    lock: threading.Lock

    def _send(self, status: int, body: bytes = b"", generation: int | None = None, size: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        if generation is not None:
            self.send_header("ETag", f'"{generation}"')
            self.send_header("x-goog-generation", str(generation))
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self._range()
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _range(self) -> None:
        if self.content_range:
            self.send_header("Content-Range", self.content_range)

    content_range = ""

    @property
    def key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").lstrip("/")

    def do_PUT(self) -> None:
        data, self.content_range = self.rfile.read(int(self.headers["Content-Length"])), ""
        with self.lock:
            now = self.objects.get(self.key, (b"", 0))[1]
            wanted = self.headers.get("x-goog-if-generation-match")
            if wanted is not None and int(wanted) != now:
                return self._send(412)
            new = max((generation for _, generation in self.objects.values()), default=0) + 1
            self.objects[self.key] = data, new
        return self._send(200, b"", new)

    def do_DELETE(self) -> None:
        self.content_range = ""
        with self.lock:
            self._send(204 if self.objects.pop(self.key, None) else 404)

    def do_GET(self) -> None:
        self.content_range = ""
        if not self.key:
            return self._list()
        data, generation = self.objects.get(self.key, (b"", 0))
        if not generation:
            return self._send(404)
        asked = self.headers.get("Range")
        if not asked:
            return self._send(200, data, generation, len(data))
        first, last = asked.removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last) + 1, len(data))
        self.content_range = f"bytes {start}-{end - 1}/{len(data)}"
        return self._send(206 if start < end else 416, data[start:end], generation)

    do_HEAD = do_GET

    def _list(self) -> None:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        with self.lock:
            found = sorted((key, *value) for key, value in self.objects.items() if key.startswith(prefix))
        each = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>&quot;{generation}&quot;</ETag>"
            f"<LastModified>{_DATE}</LastModified></Contents>"
            for key, data, generation in found
        )
        self._send(200, f"<?xml version='1.0'?><ListBucketResult>{each}</ListBucketResult>".encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def gcs_server() -> Iterator[dict[str, str]]:
    """A server with an empty bucket; what tells a process of it."""
    handler = type("Handler", (_Handler,), {"objects": {}, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        account = {"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": ""}
        key = json.dumps(account | {"private_key_id": ""})
        yield {"GOOGLE_BASE_URL": address, "GOOGLE_SERVICE_ACCOUNT_KEY": key}
    finally:
        server.shutdown()
        server.server_close()

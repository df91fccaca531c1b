"""A proxy of HTTP that cuts, delays, refuses and doubles requests, as networks and balancers do.

What it does with a request is drawn from a seed. `calm` lets everything through.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT_SECONDS = 60.0
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
FAULTS = {
    # Nothing of it arrives.
    "cut before": 2,
    # It is carried out, and nobody hears of it.
    "cut after": 3,
    # Only a part of the answer arrives.
    "half answered": 2,
    "doubled": 3,
    "delayed": 4,
    "too many": 2,
    "failed": 2,
}
PASSED = 40


class FaultyProxy:
    """Listens on loopback and forwards to the server at `port`. Use it in a `with` block."""

    def __init__(self, port: int, seed: int) -> None:
        self.calm = False
        self.counts: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy
            target = port

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def uri(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def draw(self) -> tuple[str, float]:
        """Return what happens to a request, and a share between 0 and 1 of whatever that needs."""
        with self._lock:
            names = [*FAULTS, "passed"]
            name = self._chance.choices(names, [*FAULTS.values(), PASSED])[0] if not self.calm else "passed"
            self.counts[name] += 1
            return name, self._chance.random()

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is none."""


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    target: int
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def _handle(self) -> None:
        body = self._body()
        what, share = self.owner.draw()
        if what == "cut before":
            self._cut()
            return
        if what in ("too many", "failed"):
            self._answer(429 if what == "too many" else 503, [("Content-Type", "text/plain")], b"not now")
            return
        if what == "delayed":
            time.sleep(share)
        try:
            if what == "doubled":
                self._forwarded(body)
            status, headers, data = self._forwarded(body)
        except (OSError, http.client.HTTPException):
            # The server is down.
            self._cut()
            return
        if what == "cut after":
            self._cut()
        elif what == "half answered" and data:
            self._answer(status, headers, data, sent=int(len(data) * share))
            self._cut()
        else:
            self._answer(status, headers, data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815  # the library calls them so

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=TIMEOUT_SECONDS)
        with contextlib.closing(connection):
            headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP}
            connection.request(self.command, self.path, body, headers | {"Host": f"127.0.0.1:{self.target}"})
            answer = connection.getresponse()
            kept = [(key, value) for key, value in answer.getheaders() if key.lower() not in _HOP]
            return answer.status, kept, answer.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:sent])

    def _cut(self) -> None:
        """End the connection without a word."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)

"""A listener on a loopback address that answers `GET /metrics`, served by the loop itself.

Owns its sockets and what is said on them; what the metrics are comes from a function. No thread: the loop waits on
`sockets` beside its own pipe and calls `serve`, which never blocks. Everything is bounded: connections, the size of
a request, the time that one may take. Whoever is slow or wrong is hung up on.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Listener"]

CONNECTIONS_MAX = 16
REQUEST_BYTES_MAX = 8192
PATIENCE_SECONDS = 5.0


@dataclass(slots=True)
class _Connection:
    """One client: what it sent so far, then what it is still to get."""

    socket: socket.socket
    until: float
    received: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class Listener:
    """Serves what `metrics` returns at /metrics. Raises OSError when the address cannot be had.

    `address` is `host:port` or `[host]:port`, as config.yaml has it after its check.
    """

    def __init__(
        self,
        address: str,
        metrics: Callable[[], bytes],
        content_type: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        self.address = address
        self._metrics = metrics
        self._content_type = content_type
        self._monotonic = monotonic
        self._connections: list[_Connection] = []
        self._listening = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC
        )
        try:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listening.settimeout(0)
            self._listening.bind((host, int(port)))
            self._listening.listen(CONNECTIONS_MAX)
        except OSError:
            self._listening.close()
            raise

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listening.getsockname()[1])

    @property
    def sockets(self) -> tuple[list[socket.socket], list[socket.socket]]:
        """What to wait for: sockets to be read from and to be written to."""
        reading = [c.socket for c in self._connections if c.answer is None]
        if len(self._connections) < CONNECTIONS_MAX:
            reading.append(self._listening)
        return reading, [c.socket for c in self._connections if c.answer is not None]

    @property
    def next_seconds(self) -> float | None:
        """When somebody's patience ends, in seconds from now; None while nobody is connected."""
        now = self._monotonic()
        return min((max(c.until - now, 0.0) for c in self._connections), default=None)

    def serve(self) -> None:
        """Do what can be done without waiting. Never raises OSError."""
        while len(self._connections) < CONNECTIONS_MAX:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                break
            accepted.settimeout(0)
            self._connections.append(_Connection(accepted, self._monotonic() + PATIENCE_SECONDS))
        for connection in list(self._connections):
            try:
                done = self._go_on(connection) or self._monotonic() >= connection.until
            except BlockingIOError:
                done = self._monotonic() >= connection.until
            except OSError:
                done = True
            if done:
                self._connections.remove(connection)
                connection.socket.close()

    def close(self) -> None:
        """Hang up on everybody and let go of the address."""
        for connection in self._connections:
            connection.socket.close()
        self._connections.clear()
        self._listening.close()

    def _go_on(self, connection: _Connection) -> bool:
        """Read or write as far as it goes; tell whether the client is done. BlockingIOError: later."""
        while connection.answer is None:
            part = connection.socket.recv(REQUEST_BYTES_MAX)
            if not part:
                return True
            connection.received += part
            if b"\r\n\r\n" in connection.received or b"\n\n" in connection.received:
                connection.answer = memoryview(self._answer(bytes(connection.received)))
            elif len(connection.received) > REQUEST_BYTES_MAX:
                connection.answer = memoryview(_response("431 Request Header Fields Too Large", b"too long\n"))
        while connection.answer:
            sent = connection.socket.send(connection.answer)
            connection.answer = connection.answer[sent:]
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)
        return True

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.split(b"\n", 1)[0].rstrip(b"\r").partition(b" ")
        path, _, version = rest.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            return _response("400 Bad Request", b"this is not HTTP/1\n")
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"only GET\n")
        if path.partition(b"?")[0] != b"/metrics":
            return _response("404 Not Found", b"see /metrics\n")
        return _response("200 OK", self._metrics(), self._content_type, head=method == b"HEAD")


def _response(
    status: str, body: bytes, content_type: str = "text/plain; charset=utf-8", *, head: bool = False
) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + (b"" if head else body)

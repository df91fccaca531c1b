"""An HTTP server on a loopback address: it answers `GET /metrics` with the bytes that were published last.

Owns its sockets and the one thread that serves them. Never calls the rest of the daemon: the thread reads one
attribute, which `publish` replaces with one assignment, and takes no lock. So a client is answered at once while the
loop digests a large model, and the loop waits for no client. The number of connections, the size of a request and its
time are limited. A client that is slow or sends no request is disconnected. If there are too many connections, the
oldest is closed for the next.

A request must name a loopback host. A web page in a browser on this machine could otherwise read the metrics, if its
name resolves to a loopback address (DNS rebinding).
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..base.loopback import host_of, is_loopback

__all__ = ["MetricsServer"]

CONNECTIONS_MAX = 32
# Connections that the kernel holds until they are accepted.
BACKLOG = 128
REQUEST_BYTES_MAX = 8192
REQUEST_SECONDS_MAX = 1.0
# For the request and the answer together.
CLIENT_SECONDS_MAX = 5.0
# How long no connection is accepted after `accept` failed: without a free descriptor, the thread would use all its CPU.
ACCEPT_PAUSE_SECONDS = 0.1


@dataclass(slots=True)
class _Connection:
    """One client: the part of the request that was received, and then the part of the answer that is not sent yet."""

    socket: socket.socket
    since: float
    received: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None

    @property
    def until(self) -> float:
        """When the client is disconnected."""
        return self.since + (REQUEST_SECONDS_MAX if self.answer is None else CLIENT_SECONDS_MAX)


class MetricsServer:
    """Serves at /metrics the bytes that were given to `publish` last. Before the first, the answer is 503.

    `address` is `host:port` or `[host]:port`, checked by config.yaml's schema. Raises OSError if it cannot be bound.
    Between `start` and `close` a thread serves. Other threads may then use only `publish`, `problem` and `port`.
    """

    def __init__(self, address: str, content_type: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        self.address = address
        self._content_type = content_type
        self._monotonic = monotonic
        self._body: bytes | None = None
        self._connections: list[_Connection] = []
        self._paused_until: float | None = None
        self._closing = False
        self._thread: threading.Thread | None = None
        self._listening = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC
        )
        try:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listening.settimeout(0)
            self._listening.bind((host, int(port)))
            self._listening.listen(BACKLOG)
            self.port = int(self._listening.getsockname()[1])
            self._waker, self._woken = socket.socketpair()
        except OSError:
            self._listening.close()
            raise
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._accepts = True

    def start(self) -> None:
        """Start the thread. It ends with `close` or with the process."""
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        # The thread inherits this mask. A signal that this thread handles would not wake the loop in the main thread.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def publish(self, body: bytes) -> None:
        """Replace the bytes that are served."""
        self._body = body

    @property
    def problem(self) -> str:
        """Why the server does not answer any more, or ""."""
        ended = self._thread is not None and not self._closing and not self._thread.is_alive()
        return f"the thread that serves {self.address} has ended: see the log" if ended else ""

    def close(self) -> None:
        """End the thread, disconnect every client and release the address."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._waker.send(b"!")
        if self._thread is not None:
            self._thread.join()
        self._release()
        self._waker.close()

    # --- what the thread does ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                self.turn()
        finally:
            self._release()

    def turn(self, seconds: float | None = None) -> None:
        """Wait for a client, for the end of its time, or for `seconds` at most. Then serve what can be served now."""
        for key, _ in self._selector.select(self._wait_seconds(seconds)):
            if key.fileobj is self._listening:
                self._accept()
            elif isinstance(key.data, _Connection):
                self._serve(key.data)
        now = self._monotonic()
        for connection in [connection for connection in self._connections if now >= connection.until]:
            self._disconnect(connection)
        if self._paused_until is not None and now >= self._paused_until:
            self._paused_until = None
        self._accept_or_not()

    def _wait_seconds(self, seconds: float | None) -> float | None:
        moments = [connection.until for connection in self._connections]
        if self._paused_until is not None:
            moments.append(self._paused_until)
        waits = [max(moment - self._monotonic(), 0.0) for moment in moments]
        return min([*waits, *([seconds] if seconds is not None else [])], default=None)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listening.accept()
        except OSError:
            self._paused_until = self._monotonic() + ACCEPT_PAUSE_SECONDS
            return
        accepted.settimeout(0)
        self._make_room()
        connection = _Connection(accepted, self._monotonic())
        self._connections.append(connection)
        self._selector.register(accepted, selectors.EVENT_READ, connection)
        self._accept_or_not()

    def _make_room(self) -> None:
        """If there are CONNECTIONS_MAX clients, disconnect the oldest, but one without a request before all others.

        A client that sends its request and reads the answer is served before it is the oldest.
        """
        if len(self._connections) >= CONNECTIONS_MAX:
            silent = [connection for connection in self._connections if connection.answer is None]
            self._disconnect((silent or self._connections)[0])

    def _accept_or_not(self) -> None:
        """Watch the listening socket only while a connection can be accepted. Others wait in the kernel."""
        accepts = self._paused_until is None
        if accepts and not self._accepts:
            self._selector.register(self._listening, selectors.EVENT_READ)
        elif self._accepts and not accepts:
            self._selector.unregister(self._listening)
        self._accepts = accepts

    def _serve(self, connection: _Connection) -> None:
        """Read or write as much as is possible now. Disconnect a client that has its answer or is gone."""
        try:
            if connection.answer is None:
                self._read(connection)
            if connection.answer is not None:
                while connection.answer:
                    connection.answer = connection.answer[connection.socket.send(connection.answer) :]
                connection.socket.shutdown(socket.SHUT_WR)
                self._disconnect(connection)
        except BlockingIOError:
            return
        except OSError:
            self._disconnect(connection)

    def _read(self, connection: _Connection) -> None:
        """Read until the request is complete. Raises BlockingIOError while it is not, OSError if it never will be."""
        while connection.answer is None:
            part = connection.socket.recv(REQUEST_BYTES_MAX)
            if not part:
                raise ConnectionResetError
            connection.received += part
            if b"\r\n\r\n" in connection.received or b"\n\n" in connection.received:
                connection.answer = memoryview(self._answer(bytes(connection.received)))
            elif len(connection.received) > REQUEST_BYTES_MAX:
                connection.answer = memoryview(_response("431 Request Header Fields Too Large", b"too long\n"))
        self._selector.modify(connection.socket, selectors.EVENT_WRITE, connection)

    def _disconnect(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        self._connections.remove(connection)
        connection.socket.close()

    def _release(self) -> None:
        for connection in self._connections:
            connection.socket.close()
        self._connections.clear()
        self._selector.close()
        self._listening.close()
        self._woken.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.split(b"\n", 1)[0].rstrip(b"\r").partition(b" ")
        path, _, version = rest.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            return _response("400 Bad Request", b"this is not HTTP/1\n")
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"only GET\n")
        if not is_loopback(_host_of(request)):
            return _response("421 Misdirected Request", b"only for loopback hosts, such as localhost\n")
        if path.partition(b"?")[0] != b"/metrics":
            return _response("404 Not Found", b"see /metrics\n")
        body = self._body
        if body is None:
            return _response("503 Service Unavailable", b"nothing is published yet\n")
        return _response("200 OK", body, self._content_type, head=method == b"HEAD")


def _host_of(request: bytes) -> str:
    """Return the host that a request names, without a port. HTTP/1.0 has no such header: then it is "localhost"."""
    hosts = [
        value.strip().decode("ascii", "replace")
        for name, _, value in (line.partition(b":") for line in request.split(b"\n")[1:])
        if name.strip().lower() == b"host"
    ]
    if not hosts:
        return "localhost"
    if len(hosts) > 1:
        return ""
    return host_of(hosts[0])


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

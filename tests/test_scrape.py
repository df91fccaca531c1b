"""The loopback listener: what it answers, and that nobody can make the loop wait or grow."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from model_inbox.telemetry.metrics_server import CONNECTIONS_MAX, PATIENCE_SECONDS, REQUEST_BYTES_MAX, Listener

METRICS = b"a_metric 1\n" * 2_000_000  # more than the buffers of a connection hold


class Scraped:
    """A listener on a free port, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        self.listener = Listener(address, self.metrics, "text/plain; version=0.0.4", monotonic=lambda: self.now)

    def metrics(self) -> bytes:
        self.asked += 1
        return METRICS

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.listener.port))
        client.settimeout(0)
        return client

    def turn(self) -> None:
        """One turn of the loop: wait until there is something to do, then do it."""
        reading, writing = self.listener.sockets
        select.select(reading, writing, [], 0.5)
        self.listener.serve()

    def answer(self, client: socket.socket) -> bytes:
        """Turn the loop, and read, until the server has hung up."""
        received = bytearray()
        for _ in range(10_000):
            self.listener.serve()
            try:
                part = client.recv(1 << 20)
            except BlockingIOError:
                select.select([client], [], [], 0.01)
                continue
            except ConnectionResetError:
                return bytes(received)
            if not part:
                return bytes(received)
            received += part
        raise AssertionError("it never hung up")

    def ask(self, request: bytes) -> bytes:
        with contextlib.closing(self.connect()) as client:
            client.sendall(request)
            return self.answer(client)


@pytest.fixture(name="scraped")
def _scraped() -> Iterator[Scraped]:
    scraped = Scraped()
    yield scraped
    scraped.listener.close()


def test_metrics_are_served_whole(scraped: Scraped) -> None:
    """GET /metrics gets every byte, with its length and kind, in as many turns as it takes; HEAD gets the head."""
    head, _, body = scraped.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert f"Content-Length: {len(METRICS)}".encode() in head
    assert body == METRICS
    head, _, body = scraped.ask(b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert (head[:12], body) == (b"HTTP/1.1 200", b"")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../secret HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01\x02\x00\n\n", b"400"),
        (b"GET /" + b"a" * (REQUEST_BYTES_MAX + 1), b"431"),
    ],
)
def test_anything_else_is_refused_without_making_metrics(scraped: Scraped, request_bytes: bytes, status: bytes) -> None:
    """Other paths, other methods, no HTTP and no end each get their answer."""
    assert scraped.ask(request_bytes)[9:12] == status
    assert scraped.asked == 0


def test_who_is_slow_is_hung_up_on(scraped: Scraped) -> None:
    """A client that sends nothing, or reads nothing, is gone when the patience is over; nobody waits for it."""
    silent, deaf = scraped.connect(), scraped.connect()
    deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    for _ in range(3):
        scraped.listener.serve()
    assert scraped.listener.next_seconds == PATIENCE_SECONDS
    scraped.now = PATIENCE_SECONDS
    scraped.listener.serve()
    assert scraped.listener.next_seconds is None
    assert scraped.answer(silent) == b""
    assert len(scraped.answer(deaf)) < len(METRICS)
    silent.close()
    deaf.close()


def test_connections_are_bounded(scraped: Scraped) -> None:
    """More clients than it has places for wait in the kernel; they are served when places are free."""
    clients = [scraped.connect() for _ in range(CONNECTIONS_MAX)]
    scraped.turn()
    clients += [scraped.connect() for _ in range(3)]
    scraped.turn()
    reading, writing = scraped.listener.sockets
    assert (len(reading), writing) == (CONNECTIONS_MAX, [])
    for client in clients[:CONNECTIONS_MAX]:
        client.close()
    scraped.turn()
    assert scraped.listener.next_seconds is None
    clients[-1].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert scraped.answer(clients[-1]).endswith(METRICS)
    for client in clients:
        client.close()


def test_an_address_that_is_taken_is_an_error(scraped: Scraped) -> None:
    """Two listeners cannot have one address; the second leaves nothing open."""
    with pytest.raises(OSError, match="in use"):
        Listener(scraped.listener.address, scraped.metrics, "text/plain")


def test_ipv6_is_served_too() -> None:
    """`[::1]:port` is an address like another."""
    listener = Listener("[::1]:0", lambda: b"x 1\n", "text/plain")
    with contextlib.closing(listener), socket.create_connection(("::1", listener.port)) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        select.select([listener.sockets[0][-1]], [], [], 5)
        listener.serve()
        client.settimeout(5)
        if listener.sockets[0][:-1]:
            select.select(listener.sockets[0][:-1], [], [], 5)
            listener.serve()
        assert client.recv(4096).endswith(b"x 1\n")

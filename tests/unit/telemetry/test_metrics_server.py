"""The server for metrics: what it answers, and that no client can make it wait, grow or end."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_inbox.telemetry.metrics_server import (
    CLIENT_SECONDS_MAX,
    CONNECTIONS_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_SECONDS_MAX,
    MetricsServer,
)
from support.waiting import wait_until

METRICS = b"a_metric 1\n" * 2_000_000  # more than the buffers of a connection hold
GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="server")
def _server(clock: Clock) -> Iterator[MetricsServer]:
    """A server on a free port, with metrics and a clock of its own, whose thread does not run yet."""
    with contextlib.closing(MetricsServer("127.0.0.1:0", "text/plain; version=0.0.4", monotonic=clock)) as server:
        server.publish(METRICS)
        yield server


def connect(server: MetricsServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def received(client: socket.socket) -> bytes:
    """Return all that comes until the server disconnects."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def ask(server: MetricsServer, request: bytes = GET) -> bytes:
    with connect(server) as client:
        client.sendall(request)
        return received(client)


def test_metrics_are_served_whole(server: MetricsServer) -> None:
    """GET /metrics gets every byte, with its length and kind, in as many parts as it takes; HEAD gets the head."""
    server.start()
    head, _, body = ask(server).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert f"Content-Length: {len(METRICS)}".encode() in head
    assert body == METRICS
    head, _, body = ask(server, b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert (head[:12], body) == (b"HTTP/1.1 200", b"")


def test_what_was_published_last_is_served() -> None:
    """Before anything is published the answer is 503; afterwards it is the last of what was."""
    with contextlib.closing(MetricsServer("127.0.0.1:0", "text/plain")) as server:
        server.start()
        assert ask(server).startswith(b"HTTP/1.1 503 ")
        for number in range(3):
            server.publish(f"x {number}\n".encode())
            assert ask(server).endswith(f"\r\n\r\nx {number}\n".encode())


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
def test_anything_else_is_refused(server: MetricsServer, request_bytes: bytes, status: bytes) -> None:
    """Other paths, other methods, no HTTP and no end each get their answer."""
    server.start()
    assert ask(server, request_bytes)[9:12] == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9477", b"200"),
        ("LOCALHOST.", b"200"),
        ("127.0.0.1", b"200"),
        ("127.8.9.10:80", b"200"),
        ("[::1]:9477", b"200"),
        ("rebound.example:9477", b"421"),
        ("localhost.example", b"421"),
        ("10.0.0.1", b"421"),
        ("[::2]:9477", b"421"),
        ("", b"421"),
        ("localhost\r\nHost: rebound.example", b"421"),
    ],
)
def test_only_loopback_hosts_are_answered(server: MetricsServer, host: str, status: bytes) -> None:
    """A page whose name resolves to this machine reads nothing: its requests name that host."""
    server.start()
    assert ask(server, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())[9:12] == status


def test_a_slow_client_is_disconnected(server: MetricsServer, clock: Clock) -> None:
    """A client that sends nothing, or reads nothing, is disconnected after its time, not before."""
    with connect(server) as silent, connect(server) as deaf:
        deaf.sendall(GET)
        for _ in range(4):
            server.turn(0.1)
        clock.now = REQUEST_SECONDS_MAX - 0.01
        server.turn(0)
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.recv(1)
        silent.settimeout(20)
        clock.now = REQUEST_SECONDS_MAX
        server.turn(0)
        assert received(silent) == b""
        assert len(server._connections) == 1
        clock.now = CLIENT_SECONDS_MAX
        server.turn(0)
        assert len(received(deaf)) < len(METRICS)


def test_many_slow_clients_keep_nobody_waiting(server: MetricsServer) -> None:
    """With 200 clients that send half of a request, one that asks is answered while they are still connected."""
    server.start()
    with contextlib.ExitStack() as slow:
        for _ in range(200):
            slow.enter_context(connect(server)).sendall(GET[:10])
        assert ask(server).endswith(METRICS)


def test_connections_are_bounded(server: MetricsServer) -> None:
    """A client beyond the number of places gets the place of the one that has waited longest."""
    clients: list[socket.socket] = []
    for _ in range(CONNECTIONS_MAX + 3):
        clients.append(connect(server))
        server.turn(0)
    assert len(server._connections) == CONNECTIONS_MAX
    assert [received(client) for client in clients[:3]] == [b""] * 3
    clients[3].sendall(GET)
    server.start()
    assert received(clients[3]).endswith(METRICS)
    for client in clients:
        client.close()


def test_without_a_free_descriptor_it_waits_and_serves_later(server: MetricsServer, clock: Clock) -> None:
    """A connection that cannot be accepted makes no loop spin: the next look at it comes after a pause."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect(server) as client:
        client.sendall(GET)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        taken = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            server.turn(0)
            assert server._wait_seconds(None) == pytest.approx(0.1)
        finally:
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        clock.now = 0.2
        server.start()
        assert received(client).endswith(METRICS)


def test_it_ends_with_close_and_leaves_nothing(server: MetricsServer) -> None:
    """`close` ends the thread though a client is connected, and the address is free again."""
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    again = MetricsServer("127.0.0.1:0", "text/plain")
    again.start()
    with socket.create_connection(("127.0.0.1", again.port), timeout=20) as client:
        again.close()
        assert received(client) == b""
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == (files, threads)
    MetricsServer(f"127.0.0.1:{again.port}", "text/plain").close()


def test_a_thread_that_ended_is_a_problem(server: MetricsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it serves there is none. When a fault has ended the thread, clients are refused and `problem` says so."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    server.start()
    assert ask(server).endswith(METRICS)
    assert server.problem == ""
    monkeypatch.setattr(server, "_accept", None)  # any fault: None cannot be called
    with contextlib.suppress(OSError):
        ask(server)
    wait_until(lambda: server.problem)
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_signals_are_left_to_the_main_thread(tmp_path: Path) -> None:
    """A process that sleeps in its main thread is woken by SIGTERM though the server's thread is there to take it."""
    code = (
        "import os, select, signal, sys\n"
        "from model_inbox.telemetry.metrics_server import MetricsServer\n"
        "reader, writer = os.pipe()\n"
        "signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b'!'))\n"
        "server = MetricsServer('127.0.0.1:0', 'text/plain')\n"
        "server.start()\n"
        "tasks = [open(f'/proc/self/task/{task}/status').read() for task in os.listdir('/proc/self/task')]\n"
        "blocked = [int(line.split()[1], 16) for text in tasks for line in text.splitlines() if 'SigBlk' in line]\n"
        "print(sorted(bool(mask >> (signal.SIGTERM - 1) & 1) for mask in blocked), flush=True)\n"
        "select.select([reader], [], [])\n"
        "server.close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "[False, True]\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


def test_an_address_that_is_taken_is_an_error(server: MetricsServer) -> None:
    """Two servers cannot have one address; the second leaves nothing open."""
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="in use"):
        MetricsServer(f"127.0.0.1:{server.port}", "text/plain")
    assert len(os.listdir("/proc/self/fd")) == files


def test_ipv6_is_served_too() -> None:
    """`[::1]:port` is an address like another."""
    with contextlib.closing(MetricsServer("[::1]:0", "text/plain")) as server:
        server.publish(b"x 1\n")
        server.start()
        with socket.create_connection(("::1", server.port), timeout=20) as client:
            client.sendall(GET)
            assert received(client).endswith(b"x 1\n")

"""The server: its limits, and that no client stops the pages of others."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from waitress.server import BaseWSGIServer

from model_inbox.web import server as limits
from model_inbox.web.answers import Page, page_about
from model_inbox.web.server import make_server
from model_inbox.web.sockets import listening
from support.waiting import wait_until

# More than the buffers of a connection hold.
LARGE = b"0123456789abcdef" * 500_000


class Pages:
    """A small page, a large one, one that fails, and one that takes until it is let go on."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.goes_on = threading.Event()

    def __call__(self, path: str, query: Mapping[str, Sequence[str]]) -> Page:
        if path == "/fails":
            raise RuntimeError("<b>nobody\nforesaw</b>")
        if path == "/takes-long":
            self.asked.release()
            assert self.goes_on.wait(30)
        known = {"/": b"small", "/takes-long": b"late", "/large": LARGE, "/ä": b"umlaut"}
        if path not in known:
            return page_about(HTTPStatus.NOT_FOUND, "There is no such page.")
        return Page(HTTPStatus.OK, known[path], '"e"')


class Served:
    """A server on a free port, which serves in a thread of its own."""

    def __init__(self, pages: Pages, made: socket.socket) -> None:
        self.pages = pages
        self.address = made.getsockname()
        self.server: BaseWSGIServer = make_server(made, pages)
        self.thread = threading.Thread(target=self.server.run)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def ask(self, text: str) -> bytes:
        with self.connect() as client:
            client.sendall(text.encode("latin-1"))
            return received(client)


def received(client: socket.socket) -> bytes:
    """Return all that comes until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def get(path: str, *headers: str, method: str = "GET") -> str:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""))


def status(answer: bytes) -> int:
    return int(answer[9:12])


@pytest.fixture(name="served")
def _served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as made:
        served = Served(Pages(), made)
        served.thread.start()
        try:
            yield served
        finally:
            served.pages.goes_on.set()
            served.server.task_dispatcher.shutdown()
            # Ends the loop: nothing is left that it waits for.
            served.server.trigger.pull_trigger(lambda: served.server.asyncore.close_all(served.server._map))
            served.thread.join(30)
            assert not served.thread.is_alive()


def test_a_page_is_sent_whole_and_ends_its_connection(served: Served) -> None:
    """With its length, and nothing about the server; HEAD gets the same head and no page."""
    head, _, body = served.ask(get("/large", "Connection: keep-alive")).partition(b"\r\n\r\n")
    assert body == LARGE
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    lines = head.decode().split("\r\n")[1:]
    assert {line.partition(": ")[0].lower() for line in lines} == {
        *("connection", "content-length", "content-type", "date", "etag", "cache-control", "referrer-policy"),
        *("content-security-policy", "x-content-type-options", "x-frame-options", "cross-origin-opener-policy"),
        *("cross-origin-resource-policy", "cross-origin-embedder-policy"),
    }
    assert "Connection: close" in lines
    other, _, body = served.ask(get("/large", method="HEAD")).partition(b"\r\n\r\n")
    assert body == b""
    assert sorted(line for line in other.split(b"\r\n") if not line.startswith(b"Date")) == sorted(
        line for line in head.split(b"\r\n") if not line.startswith(b"Date")
    )


def test_only_one_request_of_a_connection_is_answered(served: Served) -> None:
    """What a client sends after it, in HTTP/1.1 or /1.0, is not read."""
    assert served.ask(get("/") + get("/large")).count(b"HTTP/1.1 200") == 1
    answer = served.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert (answer.count(b"HTTP/1.0 200"), b"eep-" in answer) == (1, False)


def test_an_unchanged_page_is_only_a_head(served: Served) -> None:
    """304, without a page."""
    head, _, body = served.ask(get("/", 'If-None-Match: "e"')).partition(b"\r\n\r\n")
    assert (status(head), body) == (304, b"")


def test_paths_are_read_as_utf_8(served: Served) -> None:
    """Encoded as browsers do; what is no UTF-8 is no page."""
    assert served.ask(get("/%C3%A4")).endswith(b"umlaut")
    assert status(served.ask(get("/%E4"))) == 404


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (get("/", "X: " + "a" * limits.REQUEST_BYTES_MAX), 431),
        (get("/" + "a" * limits.REQUEST_BYTES_MAX), 431),
        ("GET /" + "a" * 2 * limits.REQUEST_BYTES_MAX, 431),
        (get("/", "Content-Length: 1") + "a", 413),
        (get("/", "Content-Length: -1") + "a", 400),
        (get("/", "Transfer-Encoding: chunked") + "1\r\na\r\n0\r\n\r\n", 413),
        (get("/", "Transfer-Encoding: gzip"), 501),
        (get("/", "Host: localhost"), 421),
        (get("/", "no colon"), 400),
        (get("/", method="POST"), 405),
        ("\x16\x03\x01\x02\x00\r\n\r\n", 400),
        ("GET\r\n\r\n", 400),
        (get("/../etc/passwd"), 404),
        (get("//"), 200),
        (get("/?" + "a=1&" * 101), 400),
    ],
)
def test_what_is_no_request_for_a_page_is_refused(served: Served, text: str, code: int) -> None:
    """Each with its status and the headers of every answer; the next request is answered as before."""
    answer = served.ask(text)
    assert status(answer) == code
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer
    assert b"waitress" not in answer
    assert served.ask(get("/")).endswith(b"small")


def test_an_error_costs_one_answer(served: Served) -> None:
    """The client learns that there is a report in the log, and nothing of the error; the log has all of it."""
    with capture_logs() as logged:
        answer = served.ask(get("/fails"))
    assert (status(answer), b"foresaw" in answer) == (500, False)
    (line,) = logged
    assert (line["event"], line["log_level"], line["path"]) == ("web.page_failed", "error", "/fails")
    assert "RuntimeError" in line["traceback"]
    assert served.ask(get("/")).endswith(b"small")


def test_slow_clients_stop_nobody(served: Served) -> None:
    """While some send no request, or half of one, or read no answer, and pages take long, another page is served."""
    with contextlib.ExitStack() as open_:
        for number in range(20):
            client = open_.enter_context(served.connect())
            client.sendall((b"", b"GET / HT", get("/large").encode())[number % 3])
        for _ in range(limits.THREADS - 1):
            open_.enter_context(served.connect()).sendall(get("/takes-long").encode())
            assert served.pages.asked.acquire(timeout=20)
        assert served.ask(get("/")).endswith(b"small")


def test_too_many_connections_cost_the_oldest_without_a_request(served: Served) -> None:
    """A client that has sent its request still gets its page, however many come after it and send nothing."""
    with served.connect() as early, contextlib.ExitStack() as open_:
        early.sendall(get("/takes-long").encode())
        assert served.pages.asked.acquire(timeout=20)
        silent = [open_.enter_context(served.connect()) for _ in range(3 * limits.CONNECTIONS_MAX)]
        assert served.ask(get("/")).endswith(b"small")
        wait_until(lambda: len(served.server.active_channels) <= limits.CONNECTIONS_MAX)  # type: ignore[arg-type]
        assert received(silent[0]) == b""
        served.pages.goes_on.set()
        assert received(early).endswith(b"late")


def test_a_connection_has_an_end(served: Served) -> None:
    """A client that sends a byte now and then, and one that reads nothing, are disconnected when their time is over."""
    with served.connect() as slow, served.connect() as deaf:
        slow.sendall(b"GET / HT")
        deaf.sendall(get("/large").encode())
        channels = served.server.active_channels
        wait_until(lambda: sum(bool(one.total_outbufs_len) for one in list(channels.values())) == 1)  # type: ignore[attr-defined]
        slow.sendall(b"T")
        for one in list(channels.values()):  # type: ignore[attr-defined]
            one.creation_time -= limits.CONNECTION_SECONDS_MAX
        assert received(slow) == b""
        assert len(received(deaf)) < len(LARGE)


PROGRAM = """
import sys
from http import HTTPStatus
from model_inbox.web.answers import Page
from model_inbox.web.server import serve
from model_inbox.web.sockets import listening
with listening("unix:" + sys.argv[1], None) as made:
    print(serve(made, lambda path, query: Page(HTTPStatus.OK, b"here"), lambda: print("ready", flush=True)))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it(tmp_path: Path, name: str) -> None:
    """It serves until a signal comes; then it ends at once, slow clients or not, however often it is told."""
    path = tmp_path / "page.sock"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with socket.socket(socket.AF_UNIX) as client, socket.socket(socket.AF_UNIX) as slow:
            slow.connect(str(path))
            client.connect(str(path))
            client.sendall(get("/").encode())
            assert received(client).endswith(b"here")
            for _ in range(3):
                process.send_signal(signal.Signals[name])
            assert (process.wait(20), process.stdout.read()) == (0, f"{name}\n")
    assert not path.exists()


def test_a_large_page_reaches_many_at_once(served: Served) -> None:
    """Ten clients get the same large page, whole, while others connect."""
    with contextlib.ExitStack() as open_:
        clients = [open_.enter_context(served.connect()) for _ in range(10)]
        for client in clients:
            client.sendall(get("/large").encode())
        assert [received(client).endswith(LARGE) for client in clients] == [True] * 10


def test_the_socket_is_one_of_ours(tmp_path: Path) -> None:
    """The server takes a socket at a path as well as one at an address."""
    with listening(f"unix:{tmp_path}/page.sock", None) as made:
        server = make_server(made, Pages())
        server.task_dispatcher.shutdown()
        server.close()

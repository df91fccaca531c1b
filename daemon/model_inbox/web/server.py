"""The server: waitress, with limits, around the answers of `answers`.

Owns the limits, the life of a connection, and what is done about an error that nobody foresaw. HTTP is waitress's.
Never makes a page.

No client makes another one wait. One thread reads requests and sends answers, and waits for no client; others make
pages. A connection is for one request: a page needs no other file. It is closed after CONNECTION_SECONDS_MAX, whatever
its client does. If there are too many connections, the oldest is closed for the next, but one without a whole request
before all others.
"""

from __future__ import annotations

import logging
import signal
import socket
import traceback
from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import FrameType
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

from ..base.log import log
from ..problems import escaped
from .answers import Answer, Pages, Request, answer, page_about, whole

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["application", "make_server", "serve"]

THREADS = 4
CONNECTIONS_MAX = 64
CONNECTION_SECONDS_MAX = 60
# The request line and all headers together.
REQUEST_BYTES_MAX = 16384
# waitress refuses a body that has this size or more.
BODY_BYTES_REFUSED = 1
# waitress keeps a longer answer in a temporary file until the client has read it. No page is as long.
ANSWER_BYTES_IN_MEMORY = 32 << 20
# How often waitress looks which connections are too old.
CLEANUP_SECONDS = 1
# waitress stops accepting at its limit, which counts its own descriptors too. Ours must be reached first.
WAITRESS_CONNECTIONS_MAX = CONNECTIONS_MAX + 64


class _Parser(HTTPRequestParser):
    """A request that is the last one of its connection, whatever it says."""

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers."""
        super().parse_header(header_plus)
        self.headers["CONNECTION"] = "close"  # type: ignore[index]  # the stubs say that it cannot be changed


class _RefusalTask(ErrorTask):
    """A request that waitress refuses, because it is malformed or too large."""

    def execute(self) -> None:
        """Answer with waitress's status and our page: every answer has the same headers."""
        error: Any = self.request.error  # type: ignore[attr-defined]  # the stubs take the request for the error
        refused = whole(page_about(HTTPStatus(error.code), f"The request cannot be answered: {error.body}."))
        self.status = _line(refused.status)
        self.response_headers = list(refused.headers)
        self.set_close_on_finish()
        self.content_length = len(refused.body)
        self.write(refused.body)


class _Connection(HTTPChannel):
    """A connection whose time is counted from its begin: a client that sends a byte now and then gets no more of it."""

    parser_class = _Parser
    error_task_class = _RefusalTask

    def __init__(self, server: BaseWSGIServer, *args: Any, **options: Any) -> None:
        channels: dict[int, HTTPChannel] = server.active_channels  # type: ignore[assignment]  # the stubs are wrong
        others = [one for one in channels.values() if not one.will_close]
        if len(others) >= CONNECTIONS_MAX:
            # The loop closes it in its next turn.
            min(others, key=lambda one: (bool(one.requests), one.creation_time)).will_close = True
        super().__init__(server, *args, **options)

    def readable(self) -> bool:
        """Return whether the loop is to wait for the client to send. The loop asks in each of its turns."""
        if self.will_close:
            # waitress would first wait until the client reads, which it may never do.
            self.handle_close()
        return self.connected and super().readable()

    def writable(self) -> bool:
        """Return whether the loop is to wait for the client to read."""
        return self.connected and super().writable()

    @property
    def last_activity(self) -> float:
        """When the connection began: waitress compares this with its time-out."""
        return self.creation_time

    @last_activity.setter
    def last_activity(self, _: float) -> None:
        pass


class _Stop(SystemExit):
    """A signal has told the process to end."""


def serve(listening: socket.socket, pages: Pages, ready: Callable[[], None]) -> str:
    """Serve pages on a socket until SIGTERM or SIGINT, and return the signal's name.

    `ready` is called when requests are answered. A request that is being answered when the signal comes gets a few
    seconds for its end. Further signals are ignored from then on, for the process is about to end.
    """
    server = make_server(listening, pages)
    stopped: list[str] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if not stopped:
            stopped.append(signal.Signals(number).name)
            # waitress ends its loop by this, and its threads.
            raise _Stop

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        ready()
        server.run()
    except _Stop:
        server.task_dispatcher.shutdown()
    finally:
        # Python gives the signals up before the process has ended; another one would kill it then.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        server.close()
    return stopped[0]


def make_server(listening: socket.socket, pages: Pages) -> BaseWSGIServer:
    """Return a server on a socket, which serves while its `run` is called."""
    _log_of_waitress()
    server = create_server(
        application(pages),
        sockets=[listening],
        threads=THREADS,
        backlog=128,
        ident=None,
        connection_limit=WAITRESS_CONNECTIONS_MAX,
        channel_timeout=CONNECTION_SECONDS_MAX,
        cleanup_interval=CLEANUP_SECONDS,
        max_request_header_size=REQUEST_BYTES_MAX,
        max_request_body_size=BODY_BYTES_REFUSED,
        outbuf_overflow=ANSWER_BYTES_IN_MEMORY,
        log_socket_errors=False,
        asyncore_use_poll=True,
    )
    if not isinstance(server, BaseWSGIServer):
        raise TypeError("waitress has made several servers for one socket")
    server.channel_class = _Connection
    return server


def application(pages: Pages) -> WSGIApplication:
    """Return the pages as a WSGI application."""

    def answered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = _request(environ)
        found = _answer(request, pages)
        start_response(_line(found.status), list(found.headers))
        return [] if request.method == "HEAD" else [found.body]

    return answered


def _request(environ: WSGIEnvironment) -> Request:
    # WSGI hands bytes on as text in latin-1.
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    return Request(
        environ["REQUEST_METHOD"],
        path,
        environ.get("QUERY_STRING", ""),
        environ.get("HTTP_HOST"),
        environ.get("HTTP_IF_NONE_MATCH", ""),
    )


def _answer(request: Request, pages: Pages) -> Answer:
    try:
        return answer(request, pages)
    except Exception as error:  # noqa: BLE001  # whatever it is, it costs one answer and not the server
        log.error(
            "web.page_failed",
            path=escaped(request.path, 200),
            problem=f"an unexpected error: {type(error).__name__}: {error}",
            traceback=traceback.format_exc(),
        )
        return whole(
            page_about(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "This page could not be made, because of an error in model-inbox.",
                "Report it with the traceback in the log (the event web.page_failed).",
            )
        )


def _line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"


class _Forward(logging.Handler):
    """Hands what waitress logs to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record of waitress."""
        log.warning("web.server_warned", problem=escaped(record.getMessage(), 400))


def _log_of_waitress() -> None:
    """Let waitress log to our log, and only what it takes for an error: it also warns of each request that waits."""
    logger = logging.getLogger("waitress")
    logger.handlers = [_Forward(logging.ERROR)]
    logger.propagate = False
    logger.setLevel(logging.ERROR)

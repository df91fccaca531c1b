"""Which requests are answered, and how: methods, hosts, paths, and the headers of every answer.

Owns the headers, the comparison with the page that the client has, and the page that says why there is none. Pure:
the pages come from a function that is passed in. Never shows a text that is not escaped.

A request must name a loopback host. A web page in a browser on this machine could otherwise read these pages, if its
name resolves to a loopback address (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qs

from ..base.loopback import host_of, is_loopback

__all__ = ["NO_PAGE_POLICY", "Answer", "Page", "Pages", "Request", "answer", "page_about", "whole"]

QUERY_FIELDS_MAX = 100
METHODS = ("GET", "HEAD")
# For a page without a script: nothing is loaded, nothing is run, and no other page shows it in a frame.
NO_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FIXED = (
    # The browser asks each time, and gets the page only if it has changed.
    ("Cache-Control", "private, no-cache"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for. `host` is the header, None without one; `known` is the header If-None-Match."""

    method: str
    path: str
    query: str = ""
    host: str | None = None
    known: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: `etag` names its content, "" if it is not to be compared; `policy` is its Content-Security-Policy."""

    status: HTTPStatus
    body: bytes
    etag: str = ""
    policy: str = NO_PAGE_POLICY


Pages = Callable[[str, Mapping[str, Sequence[str]]], Page]
"""Returns the page of a path and a query."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `body` is what GET gets; its length is in the headers."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    body: bytes


def answer(request: Request, pages: Pages) -> Answer:
    """Return the answer to a request. `pages` is called only for one that may have a page."""
    if request.method not in METHODS:
        return whole(
            page_about(HTTPStatus.METHOD_NOT_ALLOWED, "These pages can only be read: use GET."),
            ("Allow", ", ".join(METHODS)),
        )
    if request.host is not None and not is_loopback(host_of(request.host)):
        return whole(
            page_about(
                HTTPStatus.MISDIRECTED_REQUEST,
                "These pages are for this machine alone.",
                "Open them at localhost. A proxy that passes requests on must send the header `Host: localhost`.",
            )
        )
    try:
        query = parse_qs(request.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        return whole(page_about(HTTPStatus.BAD_REQUEST, f"A page can be asked for {QUERY_FIELDS_MAX} things at most."))
    page = pages(request.path, query)
    if page.etag and _is_known(page.etag, request.known):
        return Answer(HTTPStatus.NOT_MODIFIED, (("ETag", page.etag), *_headers(page)), b"")
    return whole(page)


def page_about(status: HTTPStatus, what: str, todo: str = "") -> Page:
    """Return a page that says why there is no other: what was found, and what to do."""
    lines = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>model-inbox: {escape(status.phrase)}</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        "<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:24px;max-width:70ch;",
        "overflow-wrap:anywhere;background:#fff;color:#1b1f24}h1{font-size:19px}a{color:#1f54cc}",
        "@media(prefers-color-scheme:dark){body{background:#14181c;color:#e8ebee}a{color:#83a9ff}}</style></head>",
        f"<body><main><h1>{escape(status.phrase)}</h1><p>{escape(what)}</p>",
        f"<p>{escape(todo)}</p>" if todo else "",
        '<p><a href="/">To the overview</a></p></main></body></html>',
    ]
    return Page(status, "\n".join(filter(None, lines)).encode("utf-8", "replace") + b"\n")


def _is_known(etag: str, known: str) -> bool:
    """Return whether the client has the page: by the list in If-None-Match, where a weak tag is as good."""
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return "*" in tags or etag in tags


def whole(page: Page, *more: tuple[str, str]) -> Answer:
    """Return a page as an answer, with the headers of every answer and `more`."""
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page.body)))]
    if page.etag:
        headers.append(("ETag", page.etag))
    return Answer(page.status, (*headers, *more, *_headers(page)), page.body)


def _headers(page: Page) -> tuple[tuple[str, str], ...]:
    return (("Content-Security-Policy", page.policy), *_FIXED)

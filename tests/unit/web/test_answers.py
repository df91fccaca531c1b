"""Which requests get a page, and what every answer says to the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import pytest

from model_inbox.web.answers import Page, Request, answer, page_about

BODY = b"<!doctype html><p>all models</p>"
FORBIDDEN = {"set-cookie", "access-control-allow-origin", "server"}


def pages(path: str, query: Mapping[str, Sequence[str]]) -> Page:
    """One page, at `/`; it has a name, and a policy of its own."""
    if path != "/":
        return page_about(HTTPStatus.NOT_FOUND, f"There is no page {path!r}.")
    return Page(HTTPStatus.OK, BODY + repr(dict(query)).encode() if query else BODY, '"one"', "default-src 'none'")


def head_of(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in answer(request, pages).headers}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", ""])
def test_pages_can_only_be_read(method: str) -> None:
    """Every method but GET and HEAD is refused, and which ones there are is said."""
    assert answer(Request(method, "/"), pages).status == HTTPStatus.METHOD_NOT_ALLOWED
    assert head_of(Request(method, "/"))["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "host", [None, "localhost", "localhost:9478", "127.0.0.1:9478", "127.9.9.9", "[::1]:9478", "LOCALHOST.:1"]
)
def test_a_request_to_this_machine_is_answered(host: str | None) -> None:
    """A browser on this machine, one behind a tunnel, and a client of HTTP/1.0, which names no host."""
    assert answer(Request("GET", "/", host=host), pages) == answer(Request("GET", "/"), pages)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "rebound.example",
            "rebound.example:9478",
            "localhost.rebound.example",
            "10.0.0.1",
            "[::2]",
            "",
            "[",
            ":9478",
        ),
        *("localhost, rebound.example", "localhost@rebound.example", "0.0.0.0:9478", "127.0.0.1.rebound.example"),
    ],
)
def test_a_page_of_another_host_reads_nothing(host: str) -> None:
    """A name that was made to lead here is refused before a page is made."""
    found = answer(Request("GET", "/", host=host), pages)
    assert (found.status, BODY in found.body) == (HTTPStatus.MISDIRECTED_REQUEST, False)


def test_an_unchanged_page_is_not_sent_again() -> None:
    """The browser names what it has; it gets the page only if that is another one."""
    first = head_of(Request("GET", "/"))
    for known in (first["etag"], f'"other", {first["etag"]}', f"W/{first['etag']}", "*"):
        found = answer(Request("GET", "/", known=known), pages)
        assert (found.status, found.body) == (HTTPStatus.NOT_MODIFIED, b"")
        assert dict(found.headers)["ETag"] == first["etag"]
    for known in ("", '"other"', "one"):
        assert answer(Request("GET", "/", known=known), pages).body == BODY
    assert answer(Request("GET", "/none", known="*"), pages).status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    "request_",
    [Request("GET", "/"), Request("GET", "/none"), Request("POST", "/"), Request("GET", "/", host="a.example")],
)
def test_every_answer_closes_what_pages_can_do(request_: Request) -> None:
    """Whatever is answered: nothing is loaded, framed, sniffed, referred to or kept, and nobody else may read it."""
    head = head_of(request_)
    assert head["content-security-policy"].startswith("default-src 'none'")
    assert {name: head[name] for name in head if name.startswith(("x-", "cross-", "ref", "cache"))} == {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
        "referrer-policy": "no-referrer",
        "cache-control": "private, no-cache",
    }
    assert not head.keys() & FORBIDDEN
    assert head["content-type"] == "text/html; charset=utf-8"
    assert int(head["content-length"]) == len(answer(request_, pages).body)


def test_the_query_is_read_as_browsers_write_it() -> None:
    """Repeated names keep all their values; what is left empty stays; there is a limit."""
    found = answer(Request("GET", "/", query="id=a&id=b%2Fc&pair=&type=x+y&n=%ff"), pages)
    assert found.body == BODY + b"{'id': ['a', 'b/c'], 'pair': [''], 'type': ['x y'], 'n': ['\xef\xbf\xbd']}"
    assert answer(Request("GET", "/", query="&".join(["id=a"] * 101)), pages).status == HTTPStatus.BAD_REQUEST


def test_what_a_page_is_about_stays_text() -> None:
    """Markup, quotes and broken characters in a message are shown and not interpreted."""
    body = page_about(HTTPStatus.NOT_FOUND, "<script>alert('1')</script> & \ud800", '"><img src=x>').body.decode()
    assert "<script" not in body
    assert "<img" not in body
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; &amp; ?" in body

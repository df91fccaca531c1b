"""Turns the facts of a page into one HTML document that needs nothing else.

Owns the template engine and its escaping. Everything that a template inserts is escaped twice: what cannot be printed
(control characters, marks of direction) as everywhere in this project, and then for HTML. Markup is inserted as it is
only if it was made here. A value that a template names and that does not exist is an error. Never reads a registry.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..base.units import counted, format_size
from ..problems import escaped
from . import figures
from .facts import Overview
from .pages import Links, OneFile, anchor_of

__all__ = ["TEXT_MAX", "content_policy", "environment", "render_overview"]

_FOLDER = Path(__file__).parent
TEXT_MAX = 2_000
"""How many characters of one text a page contains at most. Ids and names have at most 128."""
_START = 160


def render_overview(facts: Overview, links: Links | None = None) -> str:
    """Return the overview as a document. `links` are those of a single file by default."""
    return _render("overview.html", facts, links)


def _render(template: str, facts: Any, links: Links | None) -> str:
    return (
        environment()
        .get_template(template)
        .render(
            facts=facts,
            links=links if links is not None else OneFile(),
            style=Markup(style_sheet()),  # noqa: S704  # a file of this package
            script=Markup(page_script()),  # noqa: S704  # a file of this package
            policy=content_policy(),
        )
    )


@cache
def style_sheet() -> str:
    """Return the style of all pages."""
    files = sorted((_FOLDER / "static").glob("*.css"), key=lambda path: (path.name != "page.css", path.name))
    return "".join(path.read_text(encoding="utf-8") for path in files)


@cache
def page_script() -> str:
    """Return the script of all pages: sorting and filtering."""
    return (_FOLDER / "static" / "page.js").read_text(encoding="utf-8")


@cache
def content_policy() -> str:
    """Return the Content-Security-Policy of a page: its own style and script, known by their digests, and no more."""
    style, script = (_digest(text) for text in (style_sheet(), page_script()))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def environment() -> Environment:
    """Return the template engine."""
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "age": lambda moment, at: figures.age(moment, at) if moment is not None else "",
        "column": figures.column,
        "counted": counted,
        "day": _time(figures.day),
        "figure": figures.figure,
        "long": long_text,
        "minute": _time(figures.minute),
        "percent": figures.percent,
        "size": format_size,
    }
    made.globals |= {"anchor_of": anchor_of}
    return made


def _printable(value: object) -> object:
    """Return a value as it may be inserted. Markup and numbers stay, all else is text without what cannot be seen."""
    if hasattr(value, "__html__") or isinstance(value, int | float):
        return value
    return escaped("" if value is None else value, TEXT_MAX)


def _time(shown: Any) -> Any:
    """Return the filter that makes an element `time` of an instant; of None it makes nothing."""

    def element(moment: datetime | None) -> Markup:
        if moment is None:
            return Markup()
        stamp = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
        return Markup('<time datetime="{}">{}</time>').format(stamp, shown(moment))

    return element


def long_text(value: object, start: int = _START) -> Markup:
    """Return a text whose end can be opened if it is longer than `start`. Of a very long one the length is said."""
    text = "" if value is None else str(value)
    if len(text) <= start:
        return Markup("{}").format(escaped(text, start))
    more = f"… {len(text):,} characters" + (f", the first {TEXT_MAX:,} here" if len(text) > TEXT_MAX else "")
    begin, whole = escaped(text[:start], start), escaped(text, TEXT_MAX)
    return Markup('<details class="long"><summary>{} <span class="muted">{}</span></summary>{}</details>').format(
        begin, more, whole
    )

"""Turns the facts of a page into one HTML document that needs nothing else.

Owns the template engine and its escaping. Everything that a template inserts is escaped twice: what cannot be printed
(control characters, marks of direction) as everywhere in this project, and then for HTML. Markup is inserted as it is
only if it was made here. A value that a template names and that does not exist is an error. Never reads a registry.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from ..base.collector import collector_paused
from ..base.units import counted, format_size
from ..problems import escaped
from . import figures
from .beside import ComparisonFacts, Figures
from .drawing import calendar_of, chart_of, disk_of, sparkline
from .facts import ANY, Metric, Overview, SlotFacts
from .model_facts import Measured, ModelFacts, Neighbour
from .pages import Links, OneFile, anchor_of
from .trial import Trial

__all__ = ["TEXT_MAX", "content_policy", "environment", "render_comparison", "render_model", "render_overview"]

_FOLDER = Path(__file__).parent
# All files are read when this module is imported: a command of root imports it, and then acts as a user who may not be
# able to read them.
_TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in (_FOLDER / "templates").glob("*.html")}
_STYLES = {path.name: path.read_text(encoding="utf-8") for path in (_FOLDER / "static").glob("*.css")}
_SCRIPT = (_FOLDER / "static" / "page.js").read_text(encoding="utf-8")
TEXT_MAX = 2_000
"""How many characters of one text a page contains at most. Ids and names have at most 128."""
_START = 160
_FOLDED = 1.5
_HYPHENED = re.compile(r"((?<!\S)[^\s-]+-\S{1,140}(?!\S))")


def render_overview(facts: Overview, links: Links | None = None, trial: Trial | None = None) -> str:
    """Return the overview as a document. `links` are those of a single file by default; `trial` are other rules."""
    anchors = {anchor_of(one.slot) for one in facts.slots if one.models}
    return _render("overview.html", facts, links, anchors=anchors, trial=trial)


def render_model(facts: ModelFacts, links: Links | None = None) -> str:
    """Return the page of a model as a document."""
    return _render("model.html", facts, links)


def render_comparison(facts: ComparisonFacts, links: Links | None = None) -> str:
    """Return the page that compares models as a document."""
    return _render("comparison.html", facts, links)


def _render(template: str, facts: Any, links: Links | None, **more: Any) -> str:
    with collector_paused():
        made = environment().get_template(template)
        return made.render(
            facts=facts,
            links=links if links is not None else OneFile(),
            style=Markup(style_sheet()),  # noqa: S704  # a file of this package
            script=Markup(_SCRIPT),  # noqa: S704  # a file of this package
            policy=content_policy(),
            **more,
        )


@cache
def style_sheet() -> str:
    """Return the style of all pages."""
    return "".join(_STYLES[name] for name in sorted(_STYLES, key=lambda name: (name != "page.css", name)))


@cache
def content_policy() -> str:
    """Return the Content-Security-Policy of a page: its own style and script, known by their digests, and no more."""
    style, script = (_digest(text) for text in (style_sheet(), _SCRIPT))
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
        loader=DictLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "calendar": calendar_of,
        "chart": chart_of,
        "disk": disk_of,
        "spark": sparkline,
        "gain": _gain,
        "ident": identifier,
        "lead": lead_metric,
        "champion_value": _champion_value,
        "texts_of_figures": _texts_of_figures,
        "texts_of_measured": _texts_of_measured,
        "value_columns": _value_columns,
        "columns": _columns,
        "took": _took,
        "anchor_of": anchor_of,
        "advice": advice,
        "age": lambda moment, at: figures.age(moment, at) if moment is not None else "",
        "column": figures.column,
        "counted": counted,
        "day": _time(figures.day),
        "figure": figures.figure,
        "long": long_text,
        "minute": _time(figures.minute),
        "plain_minute": lambda moment: figures.minute(moment) if moment is not None else "",
        "percent": figures.percent,
        "size": format_size,
    }
    made.globals |= {"any_choice": ANY, "text_max": TEXT_MAX}
    return made


def _whole_words(text: str) -> Markup:
    """Return a text whose words with hyphens, such as ids, are not broken at these."""
    parts = _HYPHENED.split(text)
    # Every second part is such a word.
    whole = Markup('<span class="id">{}</span>')
    return Markup().join(whole.format(part) if at % 2 else part for at, part in enumerate(parts))


def advice(value: object) -> Markup:
    """Return a sentence of ours that says what to do, with what stands between backticks as code."""
    text = "" if value is None else str(value)
    pieces = escaped(text, TEXT_MAX).split("`")
    if len(pieces) % 2 == 0 or len(text) > TEXT_MAX:
        return long_text(value)
    # Every second piece stands between two backticks.
    shown = (
        Markup("<code>{}</code>").format(piece) if at % 2 else _whole_words(piece) for at, piece in enumerate(pieces)
    )
    return Markup().join(shown)


def identifier(value: object) -> Markup:
    """Return an id or a name of a file: never broken and never shortened, but for one that is no name at all."""
    return Markup("<code>{}</code>").format(escaped("" if value is None else value))


def _gain(metric: Metric) -> Markup:
    """Return how the model in service compares with the one before it: a figure, and which way it is in words."""
    if metric.gain is None:
        return Markup()
    shown = figures.percent(metric.gain)
    # What is too small to be shown is neither better nor worse.
    if metric.order is None or shown == figures.percent(0.0):
        return Markup("{}").format(shown)
    kind, word = ("bad", "worse") if metric.gain < 0 else ("good", "better")
    return Markup('{} <span class="{}">{}</span>').format(figures.percent(abs(metric.gain)).lstrip("+"), kind, word)


def lead_metric(slots: Sequence[SlotFacts]) -> str:
    """Return the metric that is the first of most slots, "" if there is none."""
    counts = Counter(slot.metrics[0].name for slot in slots if slot.metrics)
    return counts.most_common(1)[0][0] if counts else ""


def _champion_value(slot: SlotFacts, name: str) -> float | None:
    """Return a metric of the model that a slot serves."""
    return next((metric.champion for metric in slot.metrics if metric.name == name), None)


def _columns(slot: SlotFacts) -> list[list[str]]:
    """Return the texts of the columns of a slot's metrics."""
    rows = [row.values for row in slot.models]
    return [figures.column(values) for values in zip(*rows, strict=True)]


def _texts_of_figures(rows: Sequence[Figures]) -> list[list[Markup]]:
    """Return the texts of rows of metrics, whose points stand under each other."""
    return _padded([[figure.value for figure in row.figures] for row in rows])


def _texts_of_measured(rows: Sequence[Measured]) -> list[list[Markup]]:
    """Return the texts of the metrics of a model: its value, the recorded one, and those of the others."""
    values = [[figure.value for figure in row.figures.figures] for row in rows]
    return _padded([[first, row.recorded, *others] for row, (first, *others) in zip(rows, values, strict=True)])


def _padded(rows: Sequence[Sequence[float | None]]) -> list[list[Markup]]:
    """Return numbers with what is missing at their end as digits that are not seen."""
    padded = Markup('{}<span class="pad">{}</span>')
    return [
        [padded.format(*cell) if cell[1] else Markup("{}").format(cell[0]) for cell in row]
        for row in figures.aligned(rows)
    ]


def _value_columns(neighbours: Sequence[Neighbour]) -> list[list[str]]:
    """Return the texts of the columns of metrics of some models."""
    return [figures.column(values) for values in zip(*(one.values for one in neighbours), strict=True)]


def _took(seconds: float) -> str:
    """Return a time in seconds with the digits of a millisecond, so that figures stand in line."""
    return f"{seconds:,.3f} s"


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
        stamp = moment.astimezone(UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
        return Markup('<time datetime="{}">{}</time>').format(stamp, shown(moment))

    return element


def long_text(value: object, start: int = _START) -> Markup:
    """Return a text whose rest can be opened if it is much longer than `start`. Of a very long one the length is said.

    A rest of a few words is not worth a click.
    """
    text = "" if value is None else str(value)
    if len(text) <= min(start * _FOLDED, TEXT_MAX):
        return _whole_words(escaped(text, len(text)))
    more = f"… {len(text):,} characters" + (f", the first {TEXT_MAX:,} here" if len(text) > TEXT_MAX else "")
    begin, rest = text[:start], text[start:]
    if (space := begin.rfind(" ")) > start // 2:
        begin, rest = text[:space], text[space:]
    return Markup('<details class="long"><summary>{} <span class="muted">{}</span></summary>{}</details>').format(
        _whole_words(escaped(begin, start)), more, _whole_words(escaped(rest, TEXT_MAX - len(begin)))
    )

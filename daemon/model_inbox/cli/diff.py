"""`model-inbox diff`: shows how two models differ."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import click

from ..base.instants import parse_stored
from ..base.units import format_size
from ..errors import ConfigError, EntryNotFound
from ..exit_codes import EXIT_REFUSED
from ..model.slot import Slot, slot_of
from ..problems import quoted
from ..registry.comparison import OF_ONE_MODEL, Comparison, OrderOf, Pair, SetChange, compare, gates_in_words
from ..registry.entry import Entry
from ..registry.registry import ModelRegistry
from .arguments import find_model, model_argument
from .common import App, Command, pass_app
from .output import Column, print_fields, print_json, print_lines, print_table, short_number, when

__all__ = ["diff"]

_METRICS = (
    Column("METRIC", rank=1, least=10),
    Column("A", right=True),
    Column("B", right=True),
    Column("CHANGE", rank=2, right=True),
    Column("", rank=3, right=True),
    Column("B IS", rank=1),
)


@click.command(
    cls=Command,
    exits={EXIT_REFUSED: "no such model"},
    examples=[
        "model-inbox diff usd_eur_20251024 usd_eur_20251025",
        "model-inbox diff USD/EUR:lightgbm@champion USD/EUR:lightgbm --json",
    ],
)
@model_argument("first")
@model_argument("second")
@click.option("--all", "everything", is_flag=True, help="Also show what is the same.")
@pass_app
def diff(app: App, *, first: str, second: str, everything: bool, as_json: bool) -> None:
    """Show how the second model (B) differs from the first (A).

    Metrics, features, imports, provenance, sizes and all other fields; only what differs.
    """
    with app.reading() as registry:
        a, b = _entry_of(registry, first), _entry_of(registry, second)
    found = compare(a, b, _order_of_metrics(app, slot_of(b)))
    if as_json:
        print_json({"a": a["model_id"], "b": b["model_id"], **found.as_dict(everything=everything)})
        return
    for name, entry in (("A", a), ("B", b)):
        trained = when(parse_stored(entry.get("trained_at")))
        print_lines(f"{name}  {entry['model_id']}  {slot_of(entry)}, trained {trained} UTC", hanging=3)
    if a == b:
        print_lines("They are the same model.")
    sections = [*_sections(found, everything=everything)]
    _print_metrics("metrics", found.metrics, found.better, everything=everything)
    _print_metrics("recorded later", found.recorded, {}, everything=everything)
    for title, lines in sections:
        print_lines(f"\n{title}")
        print_fields(lines)


def _entry_of(registry: ModelRegistry, given: str) -> Entry:
    model_id = find_model(registry, given)
    entry = registry.get_model_info(model_id)
    if entry is None:
        raise EntryNotFound(
            f"cannot compare {quoted(model_id)}: it is not registered",
            hint="`model-inbox list` shows the ids; `model-inbox restore` brings back a model from the trash",
        )
    return entry


def _order_of_metrics(app: App, slot: Slot) -> OrderOf:
    """Return what config.yaml says of the order of the metrics of a slot. Without it, none is known to be better."""
    # To read all of the configuration takes longer than all else here.
    if app.config_mentions(b"order"):
        from ..config.metric_orders import order_of_metrics

        # As for other commands that only read, a problem of another setting does not matter.
        with contextlib.suppress(ConfigError):
            return order_of_metrics(app.config, slot)
    return lambda _name: None


def _print_metrics(title: str, pairs: Mapping[str, Pair], better: Mapping[str, str], *, everything: bool) -> None:
    rows = [
        (
            f"  {name}",
            *(short_number(value) if value is not None else "-" for value in pair),
            *_change_of(pair),
            {"a": "worse", "b": "better"}.get(better.get(name, ""), ""),
        )
        for name, pair in pairs.items()
        if everything or pair.differs
    ]
    if rows:
        print_lines(f"\n{title}")
        columns = [column for column in _METRICS if column.title != "B IS" or any(row[-1] for row in rows)]
        print_table(columns, [row[: len(columns)] for row in rows])


def _change_of(pair: Pair) -> tuple[str, str]:
    """Return the difference of two numbers and that in percent of the first; "" where there is none."""
    if pair.first is None or pair.second is None or pair.first == pair.second:
        return "", ""
    change = pair.second - pair.first
    percent = 100 * change / abs(pair.first) if pair.first else math.inf
    return f"{change:+.6g}", f"({percent:+.3g} %)" if math.isfinite(percent) else ""


def _sections(found: Comparison, *, everything: bool) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the parts that differ besides metrics, with a title each."""
    for title, change in (("features", found.features), ("imports", found.imports)):
        lines = [*_lines_of(change, everything=everything)]
        if title == "features" and found.features_moved:
            lines.append(("order", "the same features in another order"))
        if lines:
            yield title, lines
    for title in ("provenance", "frameworks", "tags", "sizes", "fields"):
        pairs: Mapping[str, Pair] = getattr(found, title)
        lines = [
            (name, _both(pair, is_size=title == "sizes"))
            for name, pair in pairs.items()
            if everything or (pair.differs and not (title == "fields" and name in OF_ONE_MODEL))
        ]
        if lines:
            yield title, lines
    gates = found.fields.get("gates")
    if gates is not None and (lines := [*_gates(gates, everything=everything)]):
        yield "gates", lines
    digests = found.fields.get("sha256")
    if digests is not None and digests.first is not None and not digests.differs:
        yield "files", [("model", "the same bytes")]


def _gates(pair: Pair, *, everything: bool) -> Iterator[tuple[str, str]]:
    """Yield the gates with another outcome for one of the models than for the other, with what failed."""
    first, second = map(gates_in_words, pair)
    for name in dict.fromkeys((*first, *second)):
        said = Pair(first.get(name), second.get(name))
        if everything or said.differs:
            yield name, _both(said, is_size=False)


def _lines_of(change: SetChange, *, everything: bool) -> Iterator[tuple[str, str]]:
    if change.added:
        yield "only B", ", ".join(change.added)
    if change.removed:
        yield "only A", ", ".join(change.removed)
    if everything and change.common:
        yield "both", ", ".join(change.common)


def _both(pair: Pair, *, is_size: bool) -> str:
    if not pair.differs:
        return _text(pair.first, is_size=is_size)
    return " -> ".join(_text(value, is_size=is_size) for value in pair)


def _text(value: Any, *, is_size: bool) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return "none"
    if is_size and isinstance(value, int):
        return format_size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={inner}" for name, inner in value.items())
    return short_number(value)

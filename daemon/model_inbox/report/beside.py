"""Values of several models beside each other: by how much they differ, and which is the better one.

Owns the figures of a comparison and the differences that the comparison page shows. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..base.instants import parse_stored
from ..base.margins import Order
from ..base.units import format_size
from ..model.conditions.paths import metrics_in
from ..model.slot import Slot, slot_of
from ..registry.comparison import OF_ONE_MODEL, Comparison, Pair, SetChange, compare, gates_in_words
from ..registry.entry import EntryFields

__all__ = ["Compared", "ComparisonFacts", "Difference", "Figure", "Figures", "Head", "Part", "compared", "figures_of"]

Verdict = Literal["better", "worse", ""]

NAMES_MAX = 200
"""How many differences of one part are shown; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, and how it differs from the first one of its row, as a part of that. None: there is none."""

    value: float | None
    change: float | None = None
    verdict: Verdict = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """A metric of several models. `order` says which values are better; None: nobody said."""

    name: str
    order: Order | None
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """A model that is compared, with what stands at the top of its column."""

    model_id: str
    slot: Slot
    trained_at: datetime | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A name with its value in each model, in words; "" where a model does not have it."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What differs of one kind, like features or tags. `left_out` is how many more there are, `note` says the rest."""

    title: str
    differences: tuple[Difference, ...]
    left_out: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """All that differs between two or more models. `same_bytes`: all of them have the same model file."""

    heads: tuple[Head, ...]
    metrics: tuple[Figures, ...]
    recorded: tuple[Figures, ...]
    parts: tuple[Part, ...]
    metrics_left_out: int = 0
    same_bytes: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonFacts:
    """All that a comparison page says."""

    host: str
    version: str
    at: datetime
    position: str
    registry_path: str
    compared: Compared


def figures_of(name: str, values: Sequence[float | None], order: Order | None) -> Figures:
    """Return the values of a metric beside the first of them."""
    first = values[0] if values else None
    return Figures(name, order, tuple(_figure(value, first, order) for value in values))


def _figure(value: float | None, first: float | None, order: Order | None) -> Figure:
    if value is None or first is None or value == first or not (math.isfinite(value) and math.isfinite(first)):
        return Figure(value)
    # Divided first: the difference of two large numbers would be infinite.
    change = value / abs(first) - math.copysign(1.0, first) if first else math.inf
    verdict: Verdict = "" if order is None else "better" if (value < first) == (order == "min") else "worse"
    return Figure(value, change if math.isfinite(change) else None, verdict)


def head_of(entry: Mapping[str, Any]) -> Head:
    """Return what stands at the top of a model's column."""
    aliases = [alias for alias in entry.get("aliases") or () if isinstance(alias, str)]
    notes = [word for word in ("held", "pinned") if entry.get(word)]
    trained = parse_stored(entry.get("trained_at"))
    return Head(str(entry["model_id"]), slot_of(entry), trained, (*aliases, *notes))


def compared(entries: Sequence[EntryFields], order_of: Callable[[str], Order | None]) -> Compared:
    """Return what differs between models: each beside the first. What is the same of all is left out."""
    first, *others = entries
    found = [compare(first, other, order_of) for other in others]
    metrics = [*_metrics(found, "metrics", order_of)]
    recorded = [*_metrics(found, "recorded", order_of)]
    digests = {entry.get("sha256") for entry in entries}
    return Compared(
        heads=tuple(map(head_of, entries)),
        metrics=tuple(metrics[:NAMES_MAX]),
        recorded=tuple(recorded[:NAMES_MAX]),
        parts=tuple(_parts(found)),
        metrics_left_out=max(0, len(metrics) - NAMES_MAX) + max(0, len(recorded) - NAMES_MAX),
        same_bytes=len(digests) == 1 and None not in digests,
    )


def _metrics(found: Sequence[Comparison], part: str, order_of: Callable[[str], Order | None]) -> Iterator[Figures]:
    """Yield the metrics that are not the same in all models."""
    pairs: list[Mapping[str, Pair]] = [getattr(one, part) for one in found]
    for name in dict.fromkeys(name for of_one in pairs for name in of_one):
        of_name = [of_one.get(name) for of_one in pairs]
        if any(pair is not None and pair.differs for pair in of_name):
            begin = next(pair.first for pair in of_name if pair is not None)
            values = [begin, *(pair.second if pair is not None else None for pair in of_name)]
            yield figures_of(name, [_number(value) for value in values], order_of(name))


def _number(value: object) -> float | None:
    """Return a number for the page, also one that is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _parts(found: Sequence[Comparison]) -> Iterator[Part]:
    """Yield the parts that differ besides metrics. A name that all models have alike is left out."""
    moved = any(one.features_moved for one in found)
    features = [*_memberships([one.features for one in found])]
    if features or moved:
        yield _part("Features", features, "Some have the same features in another order." if moved else "")
    if imports := [*_memberships([one.imports for one in found])]:
        yield _part("Imports", imports)
    for title, attribute in (
        ("Provenance", "provenance"),
        ("Frameworks", "frameworks"),
        ("Tags", "tags"),
        ("Sizes", "sizes"),
        ("Fields", "fields"),
    ):
        pairs: list[Mapping[str, Pair]] = [getattr(one, attribute) for one in found]
        rows = [*_values(pairs, is_size=attribute == "sizes", is_field=attribute == "fields")]
        if rows:
            yield _part(title, rows)
    gates = [one.fields["gates"] for one in found if "gates" in one.fields]
    if len(gates) == len(found) and (rows := [*_gates(gates)]):
        yield _part("Gates", rows)


def _part(title: str, rows: Sequence[Difference], note: str = "") -> Part:
    return Part(title, tuple(rows[:NAMES_MAX]), max(0, len(rows) - NAMES_MAX), note)


def _memberships(changes: Sequence[SetChange]) -> Iterator[Difference]:
    """Yield the names that some of the models have, and some do not."""
    of_first = {*changes[0].removed, *changes[0].common}
    of_others = [{*one.added, *one.common} for one in changes]
    for name in dict.fromkeys((*changes[0].removed, *changes[0].common, *(n for one in changes for n in one.added))):
        has = [name in of_first, *(name in of_one for of_one in of_others)]
        if not all(has):
            yield Difference(name, tuple("yes" if one else "no" for one in has))


def _values(pairs: Sequence[Mapping[str, Pair]], *, is_size: bool, is_field: bool) -> Iterator[Difference]:
    for name in dict.fromkeys(name for of_one in pairs for name in of_one):
        if is_field and name in OF_ONE_MODEL:
            continue
        of_name = [of_one.get(name) for of_one in pairs]
        if any(pair is not None and pair.differs for pair in of_name):
            begin = next(pair.first for pair in of_name if pair is not None)
            values = [begin, *(pair.second if pair is not None else None for pair in of_name)]
            yield Difference(name, tuple(in_words(value, is_size=is_size) for value in values))


def _gates(pairs: Sequence[Pair]) -> Iterator[Difference]:
    outcomes = [gates_in_words(pairs[0].first), *(gates_in_words(pair.second) for pair in pairs)]
    for name in dict.fromkeys(name for one in outcomes for name in one):
        said = tuple(one.get(name, "") for one in outcomes)
        if len({*said}) > 1:
            yield Difference(name, said)


def in_words(value: object, *, is_size: bool = False) -> str:
    """Return a value of an entry for people; "" for one that is empty."""
    if value is None or value == "" or value == [] or value == {}:
        return ""
    if is_size and isinstance(value, int):
        return format_size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={inner}" if inner != "" else str(name) for name, inner in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def metrics_of(entry: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the validation metrics of an entry by their dotted names, in its order."""
    return {name: _number(value) for name, value in metrics_in(entry.get("validation_metrics"))}

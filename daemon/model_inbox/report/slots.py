"""The facts of each slot, from the entries of the registry and the lines of its journal.

Owns which models, metrics and charts of a slot a page has room for. What is left out is counted, so that the page says
so. Pure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from ..base.instants import instant_microseconds, parse_stored
from ..base.margins import Order
from ..config.gates import GateSection
from ..model.conditions.paths import METRICS, metrics_in
from ..model.slot import Slot, slot_of
from ..registry.alias_stack import promotion_of
from ..registry.entry import EntryFields, sequence_of
from ..registry.journal import Line
from .decisions import CHAMPION, TimeAxis, marks_of, tenures_of
from .facts import Choice, GateBound, InService, Mark, Metric, ModelRow, Point, Rejected, SlotFacts
from .figures import age

__all__ = ["Asked", "Room", "groups_of", "room_for", "slot_facts"]

_USUAL_GAPS = 12
_QUIET_FACTOR = 3


@dataclass(frozen=True, slots=True)
class Room:
    """How much a page shows: slots in the list, slots with charts, and of each of these metrics, points and models."""

    slots: int
    charted: int
    metrics: int
    points: int
    models: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What config.yaml asks of the models of a slot: the gates that match it, and the metrics that rules compare.

    `order_of` returns whether small or large values of a metric are better, None if nothing says it.
    """

    gates: tuple[GateSection, ...] = ()
    compared: tuple[str, ...] = ()
    order_of: Callable[[str], Order | None] = lambda _: None


def room_for(slots: int, models: int) -> Room:
    """Return how much of a registry of that size fits: some 300 kB up to 1,000 models, and 2 MB of any registry."""
    charted = min(slots, 12 if models <= 1000 else 40)
    share = max(charted, 1)
    metrics = max(1, min(12, (36 if models <= 1000 else 120) // share))
    return Room(
        slots=120 if models <= 1000 else 400,
        charted=charted,
        metrics=metrics,
        points=120,
        models=max(10, min(200, (480 if models <= 1000 else 2400) // share)),
    )


def groups_of(entries: Iterable[EntryFields], choice: Choice) -> dict[Slot, list[EntryFields]]:
    """Return the entries that are chosen by their slots, in the order of the slots' names."""
    found: dict[Slot, list[EntryFields]] = {}
    for entry in entries:
        found.setdefault(slot_of(entry), []).append(entry)
    chosen = {slot: members for slot, members in found.items() if choice.matches(slot)}
    if choice.since is not None:
        since = choice.since
        chosen = {slot: [one for one in members if _is_since(one, since)] for slot, members in chosen.items()}
    return {slot: chosen[slot] for slot in sorted(chosen) if chosen[slot]}


def _is_since(entry: EntryFields, since: datetime) -> bool:
    """Return whether an entry is shown: one that was trained or registered since, or that an alias names."""
    times = (parse_stored(entry.get("trained_at")), parse_stored(entry.get("registered_at")))
    return bool(entry.get("aliases")) or any(at is not None and at >= since for at in times)


def slot_facts(
    slot: Slot,
    entries: Sequence[EntryFields],
    lines: Sequence[Line],
    rejected: Sequence[tuple[Rejected, Mapping[str, Any]]],
    asked: Asked,
    room: Room,
    now: datetime,
    *,
    taken: str = "",
    known: Mapping[str, EntryFields] | None = None,
) -> SlotFacts:
    """Return the facts of a slot. `lines` are those of its decisions, `rejected` its drops with their metrics.

    `known` are all models by their ids, also retired ones, for the value of the one that was in service before.
    """
    newest_first = sorted(entries, key=_order, reverse=True)
    axis = TimeAxis(entries)
    service = _service(newest_first, now)
    names = _metric_names(newest_first[: room.points], asked)
    shown = names[: room.metrics]
    points = [entry for entry in reversed(newest_first[: room.points]) if parse_stored(entry.get("trained_at"))]
    holder = next((one for one in newest_first if service and one["model_id"] == service.model_id), None)
    before = (known or {}).get(service.former) if service is not None and service.former else None
    metrics = [
        _metric(name, points, len(newest_first), rejected, asked, (holder, before, newest_first)) for name in shown
    ]
    begins, ends = _span(points, axis.place(now))
    tenures = tuple(one for one in tenures_of(lines, axis) if one.until is None or one.until >= begins)
    marks = [one for one in marks_of(lines, axis) if one.at >= begins]
    for drop, _ in rejected:
        if drop.at is not None and (at := axis.place(drop.at)) >= begins:
            marks.append(Mark(at, "rejected", drop.model_id or drop.stem, _why(drop)))
    return SlotFacts(
        slot=slot,
        total=len(newest_first),
        bytes=sum(size_of(entry) for entry in newest_first),
        service=service,
        newest=_newest(newest_first, now),
        newer=_newer(newest_first, holder),
        begins=begins,
        ends=ends,
        metrics=tuple(metrics),
        metrics_total=len(names),
        tenures=tenures,
        marks=tuple(sorted(marks, key=lambda one: one.at)),
        models=tuple(_row(entry, shown) for entry in newest_first[: room.models]),
        quiet=_quiet(newest_first, now),
        taken=taken,
    )


def _order(entry: EntryFields) -> tuple[int, int, str]:
    return instant_microseconds(entry.get("trained_at")), sequence_of(entry), str(entry["model_id"])


def size_of(entry: Mapping[str, Any]) -> int:
    """Return the size of a model's files as its entry says it; 0 if it does not."""
    size = entry.get("size_bytes")
    return size if type(size) is int and size > 0 else 0


def _newest(newest_first: Sequence[EntryFields], now: datetime) -> str | None:
    """Return the newest model that may be served: it is not held and not dated in the future."""
    for entry in newest_first:
        trained = parse_stored(entry.get("trained_at"))
        if not entry.get("held") and (trained is None or trained <= now):
            return str(entry["model_id"])
    return None


def _service(newest_first: Sequence[EntryFields], now: datetime) -> InService | None:
    for entry in newest_first:
        if CHAMPION in (entry.get("aliases") or ()):
            promotion = promotion_of(entry, CHAMPION)
            if promotion is None:
                return InService(str(entry["model_id"]), CHAMPION, None)
            former = promotion["former"][-1]["model_id"] if promotion["former"] else None
            at = parse_stored(promotion["at"])
            return InService(
                str(entry["model_id"]), CHAMPION, at, str(promotion["actor"]), str(promotion["reason"]), former
            )
    model_id = _newest(newest_first, now)
    newest = next((one for one in newest_first if one["model_id"] == model_id), None)
    if newest is None:
        return None
    after = newest_first[newest_first.index(newest) + 1 :]
    former = next((str(one["model_id"]) for one in after if not one.get("held")), None)
    return InService(str(newest["model_id"]), "", parse_stored(newest.get("registered_at")), former=former)


def _newer(newest_first: Sequence[EntryFields], holder: EntryFields | None) -> int:
    return newest_first.index(holder) if holder is not None else 0


# --- metrics ----------------------------------------------------------------------------------------------------------


def _metric_names(entries: Sequence[EntryFields], asked: Asked) -> list[str]:
    """Return the metrics of the newest models: those that gates or rules name first, the others by their names."""
    found: dict[str, None] = {}
    for entry in entries:
        found |= dict.fromkeys(name for name, _ in metrics_in(entry.get("validation_metrics")))
        found |= dict.fromkeys(name for name in (entry.get("recorded") or {}) if isinstance(name, str))
    named = _names_of_rules(asked)
    return sorted(found, key=lambda name: (not any(pattern.fullmatch(name) for pattern in named), _natural(name)))


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return a key that sorts 7d before 30d. Of a very long name only the beginning counts."""
    parts = re.split(r"([0-9]{1,9})", name[:200])
    return (*((0, int(part)) if part.isdecimal() and part.isascii() else (1, part) for part in parts), (2, name))


def _names_of_rules(asked: Asked) -> list[re.Pattern[str]]:
    names = [*asked.compared]
    for gate in asked.gates:
        names += [*gate.bounds, *gate.max_regression, *gate.min_gain, *gate.require]
    return [re.compile("[^.]*".join(map(re.escape, name.removeprefix(f"{METRICS}.").split("*")))) for name in names]


def _metric(
    name: str,
    entries: Sequence[EntryFields],
    total: int,
    rejected: Sequence[tuple[Rejected, Mapping[str, Any]]],
    asked: Asked,
    served: tuple[EntryFields | None, EntryFields | None, Sequence[EntryFields]],
) -> Metric:
    holder, before, newest_first = served
    order = asked.order_of(name)
    points = [point for entry in entries if (point := _point(entry, name)) is not None]
    points += [
        Point(trained, value, drop.model_id or drop.stem, "rejected")
        for drop, fields in rejected
        if (value := value_of(fields, name)) is not None and (trained := parse_stored(fields.get("trained_at")))
    ]
    champion = value_of(holder, name) if holder is not None else None
    old = value_of(before, name) if before is not None else None
    return Metric(
        name=name,
        order=order,
        points=tuple(sorted(points, key=lambda point: point.at)),
        total=total,
        unplotted=sum(value_of(entry, name) is None for entry in entries),
        gates=tuple(_bounds(name, asked.gates, holder, newest_first)),
        champion=champion,
        gain=_gain(champion, old, order),
    )


def _point(entry: EntryFields, name: str) -> Point | None:
    value, trained = value_of(entry, name), parse_stored(entry.get("trained_at"))
    recorded = recorded_of(entry, name)
    if trained is None or (value is None and recorded is None):
        return None
    kind = "held" if entry.get("held") else "model"
    if value is None:
        return None
    return Point(trained, value, str(entry["model_id"]), kind, recorded)  # type: ignore[arg-type]  # one of two words


def value_of(entry: Mapping[str, Any], name: str) -> float | None:
    """Return the validation value of a metric by its dotted name; None if there is none, or it is not finite."""
    return next((_finite(value) for found, value in metrics_in(entry.get(METRICS)) if found == name), None)


def recorded_of(entry: Mapping[str, Any], name: str) -> float | None:
    """Return the latest recorded value of a metric; None if there is none, or it is not finite."""
    recorded = entry.get("recorded")
    said = recorded.get(name) if isinstance(recorded, Mapping) else None
    return _finite(said.get("value")) if isinstance(said, Mapping) else None


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _gain(new: float | None, old: float | None, order: str | None) -> float | None:
    """Return the change as a part of the old value: positive is better; without an order, positive is larger."""
    if new is None or old is None or not old:
        return None
    change = (new - old) / abs(old)
    return _finite(-change if order == "min" else change)


def _bounds(
    name: str, gates: Iterable[GateSection], holder: EntryFields | None, newest_first: Sequence[EntryFields]
) -> Iterable[GateBound]:
    """Yield what the gates ask of the next model for a metric."""
    for gate in gates:
        for pattern, bound in gate.bounds.items():
            if _names(pattern, name):
                if bound.max is not None:
                    yield GateBound(gate.name, bound.max, "max")
                if bound.min is not None:
                    yield GateBound(gate.name, bound.min, "min")
        other = holder if gate.against == CHAMPION and holder and CHAMPION in (holder.get("aliases") or ()) else None
        if gate.against == "newest":
            other = next((one for one in newest_first if not one.get("held")), None)
        reference = value_of(other, name) if other is not None else None
        if reference is None:
            continue
        for rule, pattern, margin, order in gate.comparisons():
            if _names(pattern, name):
                value = margin.bound(reference, order, better=rule == "min_gain")
                if value is not None and math.isfinite(value):
                    yield GateBound(gate.name, value, "max" if order == "min" else "min")


def _names(pattern: str, name: str) -> bool:
    parts = pattern.removeprefix(f"{METRICS}.").split("*")
    return re.fullmatch("[^.]*".join(map(re.escape, parts)), name) is not None


# --- rows, and the rest -----------------------------------------------------------------------------------------------


def _row(entry: EntryFields, names: Sequence[str]) -> ModelRow:
    values = dict(metrics_in(entry.get(METRICS)))
    notes = [word for word in ("held", "pinned") if entry.get(word)]
    aliases = [alias for alias in entry.get("aliases") or () if isinstance(alias, str)]
    return ModelRow(
        model_id=str(entry["model_id"]),
        trained_at=parse_stored(entry.get("trained_at")),
        registered_at=parse_stored(entry.get("registered_at")),
        values=tuple(_as_float(values.get(name)) for name in names),
        size=size_of(entry),
        notes=(*aliases, *notes),
    )


def _as_float(value: object) -> float | None:
    """Return a number as it is shown, also one that is not finite."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return math.inf


def _span(entries: Sequence[EntryFields], now: datetime) -> tuple[datetime, datetime]:
    """Return the axis of time: from the oldest point to now, a day at least."""
    times = [at for entry in entries if (at := parse_stored(entry.get("trained_at"))) is not None]
    begins, ends = min(times, default=now), max([*times, now])
    return (begins, ends) if ends - begins >= timedelta(days=1) else (ends - timedelta(days=1), ends)


def _quiet(newest_first: Sequence[EntryFields], now: datetime) -> str:
    """Return a sentence if no model came for three times as long as is usual, else ""."""
    times = [at for one in newest_first[:_USUAL_GAPS] if (at := parse_stored(one.get("trained_at"))) and at <= now]
    if len(times) < 4:
        return ""
    usual = median((late - early).total_seconds() for late, early in itertools.pairwise(times))
    since = (now - times[0]).total_seconds()
    if usual < 60 or since <= _QUIET_FACTOR * usual:
        return ""
    return f"No new model for {age(times[0], now)}; one every {age(now - timedelta(seconds=usual), now)} is usual."


def _why(drop: Rejected) -> str:
    return drop.problems[0].message if drop.problems else ""

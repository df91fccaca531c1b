"""The facts of each slot, from the entries of the registry and the lines of its journal.

Owns which models, metrics and charts of a slot a page has room for. What is left out is counted, so that the page says
so. Pure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from statistics import median
from typing import Any, Literal

from ..base.instants import instant_microseconds, parse_stored
from ..base.margins import Order
from ..config.gates import GateSection
from ..model.conditions.paths import METRICS, metrics_in
from ..model.slot import NEWEST, Slot, slot_of
from ..registry.alias_stack import promotion_of
from ..registry.entry import EntryFields, sequence_of
from ..registry.journal import Line
from .decisions import CHAMPION, TimeAxis, marks_of, tenures_of
from .facts import Choice, GateBound, InService, Mark, Metric, ModelRow, Point, Rejected, SlotFacts
from .figures import age

__all__ = ["Asked", "Room", "groups_of", "room_for", "slot_facts"]

SMALL = 1_000
"""Up to so many models a page stays below 300 kB."""
METRICS_MAX = 12
_USUAL_GAPS = 12
_QUIET_FACTOR = 3
_SPARK = 16
_SECONDS = len("2026-11-28T12:00:00Z")
_STORED_ORDER = itemgetter("trained_at", "sequence", "model_id")


@dataclass(frozen=True, slots=True)
class Room:
    """How much a page shows: slots in the list, slots with charts, and of each of these metrics, points and models.

    A slot that has no charts has one metric and no models.
    """

    slots: int
    charted: int
    metrics: int
    points: int
    models: int

    def only_listed(self) -> Room:
        """Return what is shown of a slot that has no charts."""
        return replace(self, metrics=1, points=_SPARK, models=0)


@dataclass(frozen=True, slots=True)
class Asked:
    """What config.yaml asks of the models of a slot: the gates that match it, and the metrics that rules compare.

    `order_of` returns whether small or large values of a metric are better, None if nothing says it.
    """

    gates: tuple[GateSection, ...] = ()
    compared: tuple[str, ...] = ()
    order_of: Callable[[str], Order | None] = lambda _: None


def room_for(slots: int, models: int) -> Room:
    """Return how much of a registry of that size fits into 300 kB up to 1,000 models, and into 2 MB above that."""
    listed, charts, rows = (40, 36 if models <= SMALL // 3 else 24, 240) if models <= SMALL else (300, 60, 1_600)
    charted = max(1, min(slots, charts // 2))
    return Room(
        slots=listed,
        charted=charted,
        metrics=max(2, min(METRICS_MAX, charts // charted)),
        points=120 if charted * 4 <= charts else 60,
        models=max(8, min(120, rows // charted)),
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


@dataclass(frozen=True, slots=True)
class _Model:
    """A model of which everything is read once: its place on the axis, and its metrics by their names."""

    entry: Mapping[str, Any]
    model_id: str
    trained: datetime | None
    values: Mapping[str, float | None]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Model:
        """Return the model of an entry, or of the sidecar of a rejected drop."""
        values = {name: _as_float(value) for name, value in metrics_in(entry.get(METRICS))}
        return cls(entry, str(entry.get("model_id")), parse_stored(entry.get("trained_at")), values)

    def value(self, name: str) -> float | None:
        """Return a metric if it is a finite number."""
        value = self.values.get(name)
        return value if value is not None and math.isfinite(value) else None

    def recorded(self, name: str) -> float | None:
        """Return the latest recorded value of a metric if it is a finite number."""
        recorded = self.entry.get("recorded")
        said = recorded.get(name) if isinstance(recorded, Mapping) else None
        value = _as_float(said.get("value")) if isinstance(said, Mapping) else None
        return value if value is not None and math.isfinite(value) else None


def slot_facts(
    slot: Slot,
    entries: Sequence[EntryFields],
    lines: Sequence[Line],
    rejected: Sequence[tuple[Rejected, Mapping[str, Any]]],
    asked: Asked,
    room: Room,
    now: datetime,
    *,
    taken: int = 0,
    former: Mapping[str, EntryFields] | None = None,
) -> SlotFacts:
    """Return the facts of a slot. `lines` are those of its decisions, `rejected` its drops with their metrics.

    `former` are models in the trash by their ids, for the value of the one that was in service before, `taken` is how
    many models retention takes next.
    """
    newest_first = _newest_first(entries)
    axis = TimeAxis(newest_first[: room.points])
    service = _service(newest_first, now)
    newest = [_Model.of(entry) for entry in newest_first[: max(room.points, room.models)]]
    names = _metric_names(newest[: room.points], asked)
    shown = names[: room.metrics]
    holder = _find(newest_first, service.model_id) if service is not None else None
    before = _find(newest_first, service.former, former) if service is not None and service.former else None
    served = _Served(holder, before, next((one for one in newest if not one.entry.get("held")), None))
    drops = [(drop, _Model.of(fields)) for drop, fields in rejected]
    points = [one for one in reversed(newest[: room.points]) if one.trained is not None]
    begins, ends = _span(points, axis.place(now))
    marks = [one for one in marks_of(lines, axis) if one.at >= begins]
    for drop, _ in drops:
        if drop.at is not None and (at := axis.place(drop.at)) >= begins:
            marks.append(Mark(at, "rejected", drop.model_id or drop.stem, _why(drop)))
    return SlotFacts(
        slot=slot,
        total=len(newest_first),
        bytes=sum(size_of(entry) for entry in newest_first),
        service=service,
        newest=_newest(newest_first, now),
        newer=next((at for at, one in enumerate(newest_first) if holder and one["model_id"] == holder.model_id), 0),
        begins=begins,
        ends=ends,
        metrics=tuple(_metric(name, points, len(newest_first), drops, asked, served) for name in shown),
        metrics_total=len(names),
        tenures=tuple(one for one in tenures_of(lines, axis) if one.until is None or one.until >= begins),
        marks=tuple(sorted(marks, key=lambda one: one.at)),
        models=tuple(_row(model, shown) for model in newest[: room.models]),
        quiet=_quiet(newest_first, now),
        taken=taken,
    )


def _find(
    entries: Sequence[EntryFields], model_id: str, others: Mapping[str, EntryFields] | None = None
) -> _Model | None:
    found = next((one for one in entries if one["model_id"] == model_id), (others or {}).get(model_id))
    return _Model.of(found) if found is not None else None


def _newest_first(entries: Sequence[EntryFields]) -> list[EntryFields]:
    texts = [entry.get("trained_at") for entry in entries]
    numbers = {type(entry.get("sequence")) for entry in entries}
    if numbers == {int} and all(isinstance(text, str) and len(text) == _SECONDS and text[-1] == "Z" for text in texts):
        # As we write them: in this form the order of texts is that of instants, and need not be parsed.
        return sorted(entries, key=_STORED_ORDER, reverse=True)
    return sorted(entries, key=_order, reverse=True)


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


# --- metrics ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Served:
    """The model in service, the one before it, and the newest one that is not held."""

    holder: _Model | None
    before: _Model | None
    newest: _Model | None


def _metric_names(models: Sequence[_Model], asked: Asked) -> list[str]:
    """Return the metrics of the newest models: those that gates or rules name first, the others by their names."""
    found: dict[str, None] = {}
    for model in models:
        found |= dict.fromkeys(model.values)
        recorded = model.entry.get("recorded")
        found |= dict.fromkeys(name for name in recorded if isinstance(name, str)) if recorded else {}
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
    models: Sequence[_Model],
    total: int,
    rejected: Sequence[tuple[Rejected, _Model]],
    asked: Asked,
    served: _Served,
) -> Metric:
    order = asked.order_of(name)
    points = [point for model in models if (point := _point(model, name)) is not None]
    points += [
        Point(model.trained, value, drop.model_id or drop.stem, "rejected")
        for drop, model in rejected
        if (value := model.value(name)) is not None and model.trained is not None
    ]
    champion = served.holder.value(name) if served.holder is not None else None
    old = served.before.value(name) if served.before is not None else None
    return Metric(
        name=name,
        order=order,
        points=tuple(sorted(points, key=lambda point: point.at)),
        total=total,
        unplotted=sum(model.value(name) is None for model in models),
        gates=tuple(_bounds(name, asked.gates, served)),
        champion=champion,
        gain=_gain(champion, old, order),
    )


def _point(model: _Model, name: str) -> Point | None:
    value = model.value(name)
    if model.trained is None or value is None:
        return None
    kind: Literal["model", "held"] = "held" if model.entry.get("held") else "model"
    return Point(model.trained, value, model.model_id, kind, model.recorded(name))


def _gain(new: float | None, old: float | None, order: Order | None) -> float | None:
    """Return the change as a part of the old value: positive is better; without an order, positive is larger."""
    if new is None or old is None or not old:
        return None
    change = (new - old) / abs(old)
    return (-change if order == "min" else change) if math.isfinite(change) else None


def _bounds(name: str, gates: Iterable[GateSection], served: _Served) -> Iterator[GateBound]:
    """Yield what the gates ask of the next model for a metric."""
    for gate in gates:
        for pattern, bound in gate.bounds.items():
            if _names(pattern, name):
                if bound.max is not None:
                    yield GateBound(gate.name, bound.max, "max")
                if bound.min is not None:
                    yield GateBound(gate.name, bound.min, "min")
        reference = _in_service(gate.against, served)
        value = reference.value(name) if reference is not None else None
        if value is None:
            continue
        for rule, pattern, margin, order in gate.comparisons():
            if _names(pattern, name):
                limit = margin.bound(value, order, better=rule == "min_gain")
                if limit is not None and math.isfinite(limit):
                    yield GateBound(gate.name, limit, "max" if order == "min" else "min", value)


def _in_service(against: str | None, served: _Served) -> _Model | None:
    """Return the model with which a gate compares, as far as it is known here."""
    if against == NEWEST:
        return served.newest
    if served.holder is not None and against in (served.holder.entry.get("aliases") or ()):
        return served.holder
    return None


def _names(pattern: str, name: str) -> bool:
    parts = pattern.removeprefix(f"{METRICS}.").split("*")
    return re.fullmatch("[^.]*".join(map(re.escape, parts)), name) is not None


# --- rows, and the rest -----------------------------------------------------------------------------------------------


def _row(model: _Model, names: Sequence[str]) -> ModelRow:
    entry = model.entry
    notes = [word for word in ("held", "pinned") if entry.get(word)]
    aliases = [alias for alias in entry.get("aliases") or () if isinstance(alias, str)]
    return ModelRow(
        model_id=model.model_id,
        trained_at=model.trained,
        registered_at=parse_stored(entry.get("registered_at")),
        values=tuple(model.values.get(name) for name in names),
        size=size_of(entry),
        notes=(*aliases, *notes),
    )


def _as_float(value: object) -> float | None:
    """Return a number as it is shown, also one that is not finite."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return math.inf


def _span(models: Sequence[_Model], now: datetime) -> tuple[datetime, datetime]:
    """Return the axis of time: from the oldest point to now, a day at least."""
    times = [model.trained for model in models if model.trained is not None]
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

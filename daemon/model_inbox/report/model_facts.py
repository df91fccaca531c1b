"""What the page of one model says: values, complete before a template sees them.

Owns these values and how they follow from the entry, its history and its slot. Texts are as they were found: `render`
escapes and shortens all of them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ..base.instants import canonical_instant, parse_stored
from ..base.margins import Order
from ..base.units import format_size
from ..model.owner import owner_in_words
from ..registry.changes import change_of
from ..registry.described import SeenFile, imports_in_words, origin_in_words
from ..registry.entry import EntryFields, GateOutcome, barred_of, outcomes_of, sequence_of
from ..registry.journal import Line
from .beside import Figures, Head, figures_of, head_of, in_words, metrics_of
from .charts import Chart, MetricChart, Point, Sign, metric_chart
from .facts import Change, SlotFacts, Unread

__all__ = ["Duel", "Measured", "ModelFacts", "Neighbour", "Reason", "Said", "model_facts"]

NEIGHBOURS = 3
"""How many models before and after it are shown."""
HISTORY_LINES = 100
METRICS = 200
RECORDED_CHARTS = 6
IMPORTS = 700

Show = Callable[[SlotFacts, str], Sequence[Chart]]
"""Returns the charts of a slot in which a model is marked."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A model of the same slot. `when` says where it stands: before, this or after. `values` are of `metric_names`."""

    head: Head
    when: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Duel:
    """A model that this one was measured against, or that had an alias before or after it, and what came of it.

    `is_won` is None where neither lost.
    """

    other: str
    at: datetime | None
    outcome: str
    is_won: bool | None
    says: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of this model: when it was validated, later, and beside other models, whose heads the page has."""

    figures: Figures
    recorded: float | None
    recorded_at: datetime | None


class Reason(NamedTuple):
    """A reason why the model is where it is, in sentences; about what, by which change, and by the text of which rules.

    `change` is None, and `rules` empty, if it is none and if there are none.
    """

    about: str
    text: str
    change: int | None = None
    rules: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """Why the model is where it is, and where was looked for that."""

    reasons: tuple[Reason, ...] = ()
    looked_at: str = ""


NOTHING_SAID = Said()


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """All that the page of a model says.

    `retired_at` is when it was retired, None if it is registered; then `kept_until` is when its files are removed.
    `beside` are the models of the columns of `metrics`, with why they are there. `notes` are pairs of a name and a
    value.
    """

    host: str
    version: str
    at: datetime
    position: str
    registry_path: str
    head: Head
    state: str
    state_level: str
    retired_at: datetime | None
    kept_until: datetime | None
    said: Said
    notes: tuple[tuple[str, str], ...]
    features: tuple[str, ...]
    beside: tuple[tuple[Head, str], ...]
    metrics: tuple[Measured, ...]
    metrics_total: int
    charts: tuple[Chart, ...]
    recorded_charts: tuple[Chart, ...]
    gates: tuple[GateOutcome, ...]
    duels: tuple[Duel, ...]
    neighbours: tuple[Neighbour, ...]
    metric_names: tuple[str, ...]
    older: int
    newer: int
    files: tuple[SeenFile, ...]
    imports: str
    imports_listed: tuple[tuple[str, str], ...]
    history: tuple[Change, ...]
    history_total: int
    unread: tuple[Unread, ...]


def model_facts(
    entry: EntryFields,
    siblings: Sequence[EntryFields],
    lines: Sequence[Line],
    files: Sequence[SeenFile],
    slot: SlotFacts | None,
    order_of: Callable[[str], Order | None],
    charts_of: Show,
    *,
    about: Mapping[str, Any],
    now: datetime,
    said: Said = NOTHING_SAID,
    unread: Sequence[Unread] = (),
    former: Mapping[str, EntryFields] | None = None,
    retired_at: datetime | None = None,
    kept_until: datetime | None = None,
) -> ModelFacts:
    """Return the facts of a model. `siblings` are the models of its slot, the newest first, itself among them if it is
    registered; `former` are those in the trash. `lines` are its history. `about` has the fields that all pages share.
    """
    model_id = str(entry["model_id"])
    place = next((index for index, one in enumerate(siblings) if one["model_id"] == model_id), None)
    others = [*_others(entry, siblings, former or {}, slot)]
    names = metrics_of(entry)
    lead = [metric.name for metric in slot.metrics[:3]] if slot is not None else [*names][:3]
    state, level = _state(entry, slot, retired_at, place)
    own = [line for line in lines if _is_of(line, entry)]
    gates = outcomes_of(entry)
    return ModelFacts(
        **about,
        at=now,
        head=head_of(entry),
        state=state,
        state_level=level,
        retired_at=retired_at,
        kept_until=kept_until,
        said=said,
        notes=tuple((name, value) for name, value in _notes(entry) if value),
        features=tuple(map(str, _listed(entry.get("features_used")))),
        beside=tuple((head_of(other), why) for other, why in others),
        metrics=tuple(_measured(entry, [other for other, _ in others], order_of))[:METRICS],
        metrics_total=len({*names, *_recorded(entry)}),
        charts=tuple(charts_of(slot, model_id)) if slot is not None else (),
        recorded_charts=tuple(_recorded_charts(entry, own, order_of)),
        gates=tuple(gates),
        duels=tuple(_duels(model_id, gates, entry, own)),
        neighbours=tuple(_neighbours(siblings, place, lead)),
        metric_names=tuple(lead),
        older=len(siblings) - place - 1 if place is not None else 0,
        newer=place or 0,
        files=tuple(files),
        imports=imports_in_words(entry.get("imports")),
        imports_listed=tuple(sorted((str(name), str(uses)) for name, uses in (entry.get("imports") or {}).items()))[
            :IMPORTS
        ],
        history=tuple(_change(line, model_id) for line in reversed(lines[-HISTORY_LINES:])),
        history_total=len(lines),
        unread=tuple(unread),
    )


def _state(
    entry: EntryFields, slot: SlotFacts | None, retired_at: datetime | None, place: int | None
) -> tuple[str, str]:
    """Return in a few words where the model is now, and how much it needs somebody."""
    if retired_at is not None:
        return "retired, in the trash", "warn"
    if entry.get("held"):
        return "held, not served", "warn"
    service = slot.service if slot is not None else None
    if service is not None and service.model_id == entry["model_id"]:
        return f"in service as {service.alias or 'the newest'}", "good"
    aliases = in_words(entry.get("aliases"))
    if aliases:
        return f"named by {aliases}", "good"
    return ("the newest, not in service" if place == 0 else "not in service"), "muted"


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _notes(entry: EntryFields) -> Iterator[tuple[str, str]]:
    """Yield what the entry says, by name. Empty values are left out by the caller."""
    yield "Pair", str(entry.get("currency_pair") or "")
    yield "Type", str(entry.get("model_type") or "")
    yield "Variant", str(entry.get("variant") or "")
    yield "Version", in_words(entry.get("version"))
    yield "Trained", _moment(entry.get("trained_at"))
    registered = _moment(entry.get("registered_at"))
    yield "Registered", f"{registered}, change {entry.get('sequence')}" if registered else ""
    yield "From", origin_in_words(entry)
    yield "Owner", owner_in_words(entry.get("owner")) or ""
    yield "Calibrated", "yes" if entry.get("calibration_ok") else "no"
    yield "Min. samples", in_words(entry.get("min_samples"))
    yield "Horizons", ", ".join(f"{days} d" for days in _listed(entry.get("horizons")))
    yield "Made with", in_words(_mapping(entry.get("frameworks")))
    load_bytes = entry.get("load_bytes")
    yield "To load", f"about {format_size(load_bytes)} of memory" if isinstance(load_bytes, int) and load_bytes else ""
    yield "Pinned", "yes" if entry.get("pinned") else ""
    yield "Held", f"since {_moment(entry.get('held_since'))}: {entry.get('held')}" if entry.get("held") else ""
    yield "Aliases", in_words(_listed(entry.get("aliases")))
    barred = in_words(barred_of(entry))
    yield "Barred", f"no rule gives it {barred}: a rollback left it" if barred else ""
    yield "Tags", in_words(_mapping(entry.get("tags")))
    yield "Provenance", in_words(_mapping(entry.get("provenance")))
    yield "Description", str(entry.get("description") or "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _moment(value: object) -> str:
    at = parse_stored(value)
    return f"{canonical_instant(at)[:16].replace('T', ' ')} UTC" if at is not None else ""


# --- other models -----------------------------------------------------------------------------------------------------


def _others(
    entry: EntryFields, siblings: Sequence[EntryFields], former: Mapping[str, EntryFields], slot: SlotFacts | None
) -> Iterator[tuple[EntryFields, str]]:
    """Yield the models that it is compared with: the one in service, or the one before that, and the one before it."""
    known = {**former, **{str(one["model_id"]): one for one in siblings}}
    service = slot.service if slot is not None else None
    said: set[str] = {str(entry["model_id"])}
    if service is not None:
        is_it = service.model_id == entry["model_id"]
        wanted, why = (service.former, "in service before it") if is_it else (service.model_id, "in service")
        if wanted in known and wanted not in said:
            said.add(wanted)
            yield known[wanted], why
    place = next((index for index, one in enumerate(siblings) if one["model_id"] == entry["model_id"]), None)
    if place is not None:
        before = next((one for one in siblings[place + 1 :] if not one.get("held")), None)
        if before is not None and str(before["model_id"]) not in said:
            yield before, "trained before it"


def _neighbours(siblings: Sequence[EntryFields], place: int | None, names: Sequence[str]) -> Iterator[Neighbour]:
    if place is None:
        return
    for index in range(max(0, place - NEIGHBOURS), min(len(siblings), place + NEIGHBOURS + 1)):
        values = metrics_of(siblings[index])
        when = "this" if index == place else "after" if index < place else "before"
        yield Neighbour(head_of(siblings[index]), when, tuple(values.get(name) for name in names))


def _duels(model_id: str, gates: Sequence[GateOutcome], entry: EntryFields, lines: Sequence[Line]) -> Iterator[Duel]:
    """Yield the models that it was measured against, by gates and for aliases, the latest last."""
    registered = parse_stored(entry.get("registered_at"))
    by_other: dict[str, list[GateOutcome]] = {}
    for one in gates:
        against = one.get("against")
        if isinstance(against, Mapping):
            by_other.setdefault(str(against.get("model_id")), []).append(one)
    for other, outcomes in by_other.items():
        failed = [one for one in outcomes if not one.get("passed")]
        says = "; ".join(f"{one.get('gate')}: {one.get('says')}" for one in failed or outcomes)
        outcome = "lost to it at a gate" if failed else "passed beside it at the gates"
        yield Duel(other, registered, outcome, is_won=not failed, says=says)
    for line in lines:
        detail = line.detail or {}
        alias, former = detail.get("alias"), detail.get("from")
        if not alias:
            continue
        is_rollback = line.operation == "rollback"
        if line.model_id == model_id and former:
            what = f"got {alias} back from it" if is_rollback else f"took {alias} from it"
            yield Duel(str(former), line.at, what, is_won=True, says=_why(line))
        elif line.model_id != model_id:
            what = f"lost {alias} to it, by a rollback" if is_rollback else f"lost {alias} to it"
            yield Duel(line.model_id, line.at, what, is_won=False, says=_why(line))


def _why(line: Line) -> str:
    reason = line.reason if line.reason != line.operation else ""
    return f"{line.actor}: {reason}" if reason else line.actor


# --- metrics ----------------------------------------------------------------------------------------------------------


def _recorded(entry: EntryFields) -> Mapping[str, Any]:
    return {name: one for name, one in _mapping(entry.get("recorded")).items() if isinstance(one, Mapping)}


def _measured(
    entry: EntryFields, others: Sequence[EntryFields], order_of: Callable[[str], Order | None]
) -> Iterator[Measured]:
    values, recorded = metrics_of(entry), _recorded(entry)
    of_others = [metrics_of(other) for other in others]
    for name in dict.fromkeys((*values, *recorded)):
        later = recorded.get(name) or {}
        row = [values.get(name), *(of_one.get(name) for of_one in of_others)]
        value = metrics_of({"validation_metrics": {"value": later.get("value")}}).get("value")
        # The others are the first of their pair: the verdict is about this model.
        figures = tuple(figures_of(name, (other, row[0]), order_of(name)).figures[1] for other in row[1:])
        own = figures_of(name, row[:1], order_of(name)).figures
        shown = tuple(type(one)(other, one.change, one.verdict) for one, other in zip(figures, row[1:], strict=True))
        yield Measured(Figures(name, order_of(name), (*own, *shown)), value, parse_stored(later.get("at")))


def _recorded_charts(
    entry: EntryFields, lines: Sequence[Line], order_of: Callable[[str], Order | None]
) -> Iterator[Chart]:
    """Yield a chart of each metric that was recorded later, with the value of the validation as its beginning."""
    model_id, trained = str(entry["model_id"]), parse_stored(entry.get("trained_at"))
    series: dict[str, list[Point]] = {}
    for line in lines:
        if line.operation != "record" or line.model_id != model_id or not line.detail:
            continue
        at = parse_stored(line.detail.get("at")) or line.at
        for name, value in _mapping(line.detail.get("metrics")).items():
            series.setdefault(str(name), []).append(Point(at, value, model_id, Sign.RECORDED))
    values = metrics_of(entry)
    for index, (name, points) in enumerate(sorted(series.items())[:RECORDED_CHARTS]):
        validated = values.get(name)
        begin = [Point(trained, validated, model_id)] if trained is not None and validated is not None else []
        yield metric_chart(
            MetricChart(f"recorded-{index}", model_id, name, order_of(name), [*begin, *points], width=552)
        )


# --- history ----------------------------------------------------------------------------------------------------------


def _is_of(line: Line, entry: EntryFields) -> bool:
    """Return whether a line is about this registration: an id can be used again after its model was retired."""
    return line.sequence >= sequence_of(entry)


def _change(line: Line, model_id: str) -> Change:
    what, why = change_of(line, model_id)
    return Change(line.sequence, line.at, what, line.model_id, line.actor, why)

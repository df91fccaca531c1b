"""What the rules will take in the next days, if models go on coming as they came.

Durations and counts of the rules start at the newest model of a group, so that without new models nothing goes. Each
group is therefore given the models that are to be expected: trained at the usual distance after its newest one, each
like that one. A group that had no new model for long, or whose models came all at once, is expected to get none.

Owns what is expected. Pure: never retires a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from ..base.instants import canonical_instant, parse_stored
from ..config.retention import RetentionSection
from ..registry.entry import EntryFields, as_fields, sequence_of
from .plan import plan

__all__ = ["Expected", "expected"]

_USUAL_GAPS = 12
_LEAST_GAP = timedelta(minutes=30)
_QUIET_FACTOR = 3
_COMING_MAX = 200
_PREFIX = "expected "
# No id has a space, so none of these has the id of a model.


class Expected(NamedTuple):
    """A model that goes at a time, and why."""

    model_id: str
    at: datetime
    reasons: tuple[str, ...]
    bytes: int
    sequence: int


def expected(
    entries: Iterable[EntryFields],
    section: RetentionSection,
    now: datetime,
    *,
    days: int = 14,
    steps: int = 14,
) -> list[Expected]:
    """Return what goes in the next `days`, the earliest first, without what the rules take already now.

    The time is known up to the days between two of the `steps`; each step costs a plan.
    """
    stored = list(entries)
    coming = _coming(stored, section, now, timedelta(days=days))
    gone = {(one.model_id, one.sequence) for one in plan(stored, section, now=now).retire}
    found: list[Expected] = []
    for step in range(1, steps + 1):
        at = now + timedelta(days=days * step / steps)
        arrived = [entry for trained, entry in coming if trained <= at]
        if not arrived:
            continue
        for one in plan([*stored, *arrived], section, now=at).retire:
            key = (one.model_id, one.sequence)
            if key not in gone and not one.model_id.startswith(_PREFIX):
                gone.add(key)
                found.append(Expected(one.model_id, at, one.reasons, one.bytes, one.sequence))
    return found


def _coming(
    entries: Sequence[EntryFields], section: RetentionSection, now: datetime, length: timedelta
) -> list[tuple[datetime, EntryFields]]:
    """Return the models that are to be expected, each with the time of its training."""
    groups: dict[tuple[str, ...], list[tuple[datetime, EntryFields]]] = {}
    for entry in entries:
        trained = parse_stored(entry.get("trained_at"))
        if trained is not None and trained <= now and not entry.get("held"):
            key = tuple(str(_value(entry, name)) for name in section.group_by)
            groups.setdefault(key, []).append((trained, entry))
    found = []
    for members in groups.values():
        members.sort(key=lambda one: (one[0], sequence_of(one[1])), reverse=True)
        times = [trained for trained, _ in members[:_USUAL_GAPS]]
        if len(times) < 4:
            continue
        gap = timedelta(seconds=median((a - b).total_seconds() for a, b in pairwise(times)))
        newest, last = members[0]
        if gap < _LEAST_GAP or now - newest > _QUIET_FACTOR * gap:
            continue
        count = min(_COMING_MAX, (now + length - newest) // gap)
        found += [(newest + gap * at, _like(last, newest + gap * at, at)) for at in range(1, count + 1)]
    return found


def _value(entry: Mapping[str, Any], name: str) -> object:
    """Return what an entry is grouped by, as far as it matters here."""
    return (entry.get("owner") or {}).get("uid") if name == "owner" else entry.get(name)


def _like(last: EntryFields, trained: datetime, number: int) -> EntryFields:
    """Return an entry like the last one of its group that is trained, and registered, at that time."""
    stamp = canonical_instant(trained)
    return as_fields(
        {
            **last,
            "model_id": f"{_PREFIX}{number}",
            "trained_at": stamp,
            "registered_at": stamp,
            "sequence": sequence_of(last) + 10**9 + number,
            "aliases": [],
            "promotions": {},
            "pinned": False,
        }
    )

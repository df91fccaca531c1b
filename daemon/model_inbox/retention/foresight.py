"""What the rules will do to models that were just registered, for their receipts.

Owns which of them are told of, and the time. Pure, as `plan` is. Never retires a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ..base.instants import canonical_instant, parse_stored
from ..config.retention import CalendarDuration, RetentionSection
from ..problems import Problem
from ..problems.retention import retention_soon
from ..registry.entry import EntryFields
from .plan import plan

__all__ = ["foreseen"]

_RULE = "registered_within"


def foreseen(
    fresh: Sequence[EntryFields], others: Iterable[EntryFields], section: RetentionSection, now: datetime
) -> Mapping[str, Problem]:
    """Return a note for each fresh model that no rule keeps, or that only `registered_within` keeps, by its id.

    `others` are the entries of their groups, themselves included. A model of a group that the breaker stops is not
    told of: it stays until an operator has looked.
    """
    told: dict[str, Problem] = {}
    registered = {entry["model_id"]: entry for entry in fresh}
    made = plan(others, section, now=now)
    for retired in made.allowed():
        if retired.model_id in registered:
            reasons = "; ".join(retired.reasons)
            told[retired.model_id] = retention_soon(retired.model_id, canonical_instant(now), reasons, at_once=True)
    for kept in made.keep:
        entry = registered.get(kept.model_id)
        if entry is None or len(kept.reasons) != 1:
            continue
        rule, _, duration = kept.reasons[0].partition(" ")
        at = parse_stored(entry.get("registered_at"))
        if rule == _RULE and at is not None:
            until = canonical_instant(at + timedelta(seconds=CalendarDuration.parse(duration).seconds))
            told[kept.model_id] = retention_soon(kept.model_id, until, kept.reasons[0], at_once=False)
    return told

"""The pure function from entries, policy and time to a retention plan.

Owns the plan of all groups; `groups` owns what is decided in one. Never reads a clock or a file, changes an entry, or
retires a model: `apply` does that.

A plan is made group by group:

1. The entries are sorted, newest first: by trained_at as an instant, then by sequence number, then by id.
2. Each rule of the policy decides which models it keeps. A model is kept if at least one rule keeps it.
3. Pinned, aliased, future-dated and unreadable models are protected: they are never retired. They count like any other
   model in the order, so a pin does not make room for one more model.
4. `min_keep` keeps the newest models, whatever the rules say.
5. The budget, last, retires the oldest models that only `within` and bucket rules keep.

Durations count back from the newest model of the group that is not in the future, never from `now`: if a training job
stops, none of its models is retired. `now` is used only to find models dated in the future.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from ..base.collector import collector_paused
from ..config.retention import RetentionSection
from ..problems import Problem
from ..registry.entry import EntryFields
from .entries import ORDER, EntryReader, Model, former_holders, latest_names
from .groups import SectionRules, breaker_problem, protect_future
from .outcomes import Group, RetentionPlan, ToKeep, ToRetire
from .times import Times

__all__ = ["plan"]


def plan(
    entries: Iterable[EntryFields], section: RetentionSection, *, now: datetime, sequence: int = 0
) -> RetentionPlan:
    """Return which models to keep and to retire under `section`, with all reasons. Its mode is ignored.

    `entries` are registry entries in any order. `now` is a datetime with a zone; models trained after it are dated in
    the future. `sequence` is the sequence number of the journal, which the plan repeats. An entry that cannot be read
    is kept, with a warning in `warnings`. Raises ValueError for a `now` without a zone.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone; pass an aware datetime, such as datetime.now(UTC)")
    with collector_paused():
        return _plan(entries, section, now.astimezone(UTC), sequence)


def _plan(entries: Iterable[EntryFields], section: RetentionSection, now: datetime, sequence: int) -> RetentionPlan:
    entries = list(entries)
    owners = latest_names(entries) if "owner" in section.group_by else {}
    reader = EntryReader(section.group_by, section.zone, owners)
    times = Times(section.zone, now)
    models = [model for entry in entries if (model := reader.read(entry)) is not None]
    models.sort(key=ORDER, reverse=True)
    future = protect_future(models, now)
    # The positions of each group's models in `models`.
    groups: dict[Group, list[int]] = {}
    for at, model in enumerate(models):
        groups.setdefault(model.group, []).append(at)
    rules = SectionRules(section)
    former = {alias: former_holders(entries, alias) for alias in rules.former_aliases}
    warnings = reader.warnings(future, now)
    outcomes: list[ToKeep | ToRetire | None] = [None] * len(models)
    breakers: list[tuple[Group, Problem]] = []
    for group, positions in sorted(groups.items()):
        members = [models[at] for at in positions]
        kept, gone, reasons = rules.outcome(group, members, times, former, warnings)
        for number, why in zip(gone, reasons, strict=True):
            outcomes[positions[number]] = _retired(members[number], why)
        for number, rules_that_keep in kept.items():
            if outcomes[positions[number]] is None:
                outcomes[positions[number]] = _kept(members[number], tuple(rules_that_keep))
        if (stopped := breaker_problem(len(gone), len(positions), group, section.breaker)) is not None:
            breakers.append((group, stopped))
    keep = [outcome for outcome in outcomes if isinstance(outcome, ToKeep)]
    retire = [outcome for outcome in reversed(outcomes) if isinstance(outcome, ToRetire)]
    return RetentionPlan(
        keep=(*keep, *sorted(reader.unordered, key=lambda kept: kept.model_id)),
        retire=tuple(retire),
        bytes_freed=sum(retired.bytes for retired in retire),
        warnings=tuple(warnings),
        sequence=sequence,
        breakers=tuple(breakers),
    )


def _kept(model: Model, reasons: tuple[str, ...]) -> ToKeep:
    # A plan can have 100,000 of these, and the constructor takes twice as long as the tuple itself.
    return tuple.__new__(ToKeep, (model.model_id, reasons, model.bytes, model.group, model.trained_at))


def _retired(model: Model, reasons: tuple[str, ...]) -> ToRetire:
    fields = (model.model_id, reasons, model.bytes, model.group, model.trained_at, model.sequence)
    return tuple.__new__(ToRetire, fields)

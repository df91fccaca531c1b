"""The pure function from entries, policy and time to a retention plan.

Owns the order of the steps below and the limits of one run; `rules` and `budget` own theirs. Never reads a clock or a
file, changes an entry, or retires a model: `apply` does that.

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

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import translate
from fractions import Fraction

from ..base.units import counted
from ..config.retention import Breaker, Policy, RetentionSection
from ..problems import Problem
from ..problems.retention import retention_breaker
from ..registry.entry import EntryFields
from .budget import over_budget
from .entries import ORDER, OWNER_UID, EntryReader, FormerHolders, Model, former_holders, latest_names
from .outcomes import Group, RetentionPlan, ToKeep, ToRetire, group_text
from .rules import rulings_of
from .times import Times

__all__ = ["breaker_problem", "plan"]


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
    with _collector_paused():
        return _plan(entries, section, now.astimezone(UTC), sequence)


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Planning makes many tuples and no reference cycles. The collector would walk all entries of the registry again
    # for each 100,000 of them, which takes a third of the whole time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _plan(entries: Iterable[EntryFields], section: RetentionSection, now: datetime, sequence: int) -> RetentionPlan:
    entries = list(entries)
    owners = latest_names(entries) if "owner" in section.group_by else {}
    reader = EntryReader(section.group_by, section.zone, now, owners)
    times = Times(section.zone, now)
    models = [model for entry in entries if (model := reader.read(entry)) is not None]
    models.sort(key=ORDER, reverse=True)
    # The positions of each group's models in `models`.
    groups: dict[Group, list[int]] = {}
    for at, model in enumerate(models):
        groups.setdefault(model.group, []).append(at)
    policies = [(_matcher(policy), policy, policy.keep.rules()) for policy in section.policies]
    aliases = {policy.keep.holders.alias for policy in section.policies if policy.keep.holders is not None}
    former = {alias: former_holders(entries, alias) for alias in aliases}
    warnings = reader.warnings()
    outcomes: list[ToKeep | ToRetire | None] = [None] * len(models)
    breakers: list[tuple[Group, Problem]] = []
    for group, positions in sorted(groups.items()):
        members = [models[at] for at in positions]
        policy, rules = next(((policy, rules) for matches, policy, rules in policies if matches(group)), (None, ()))
        if policy is None:
            planned: Iterator[ToKeep | ToRetire] = (
                _kept(model, (*model.protection, "no policy matches its group")) for model in members
            )
        else:
            planned = _plan_group(members, policy, rules, times, former, warnings)
        retired = 0
        for at, outcome in zip(positions, planned, strict=True):
            outcomes[at] = outcome
            retired += isinstance(outcome, ToRetire)
        if (stopped := breaker_problem(retired, len(positions), group, section.breaker)) is not None:
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


def breaker_problem(retired: int, total: int, group: Group, breaker: Breaker) -> Problem | None:
    """Return a problem if retiring `retired` of the `total` models of a group is over the limits of one run, else None.

    Each group counts on its own, so that nobody's models stop the retirement of another group's.
    """
    if retired > breaker.max_deletes:
        limit, field = f"{counted(breaker.max_deletes, 'model')} of a group", "retention.breaker.max_deletes"
    # The fraction is taken as written in decimal: as a binary float, 0.29 of 100 is a little less than 29.
    elif retired > Fraction(str(breaker.max_fraction)) * total:
        limit, field = f"{breaker.max_fraction:g} of a group", "retention.breaker.max_fraction"
    else:
        return None
    return retention_breaker(retired, total, group_text(group), limit, field)


def _kept(model: Model, reasons: tuple[str, ...]) -> ToKeep:
    return ToKeep(model.model_id, reasons, model.bytes, model.group, model.trained_at)


def _retired(model: Model, reasons: tuple[str, ...]) -> ToRetire:
    # A plan can have 100,000 of these, and the constructor takes twice as long as the tuple itself.
    fields = (model.model_id, reasons, model.bytes, model.group, model.trained_at, model.sequence)
    return tuple.__new__(ToRetire, fields)


def _matcher(policy: Policy) -> Callable[[Group], bool]:
    patterns = {key: re.compile(translate(pattern)) for key, pattern in policy.match.items()}

    def matches(group: Group) -> bool:
        values = dict(group)
        return all(
            pattern.match(values[key]) or (key == "owner" and pattern.match(values[OWNER_UID]))
            for key, pattern in patterns.items()
        )

    return matches


def _plan_group(
    models: Sequence[Model],
    policy: Policy,
    rules: Sequence[str],
    times: Times,
    former: FormerHolders,
    warnings: list[Problem],
) -> Iterator[ToKeep | ToRetire]:
    """Yield the outcome for each model of a group. `models` are newest first, `rules` the names of the policy's rules.

    Warnings are added to `warnings`.
    """
    rulings = rulings_of(models, policy, rules, times, former, warnings)
    kept = {at: list(model.protection) for at, model in enumerate(models) if model.protection}
    for ruling in rulings:
        for at, reason in ruling.kept.items():
            kept.setdefault(at, []).append(reason)
    overruled: dict[int, str] = {}
    if policy.budget is not None:
        overruled = over_budget(models, kept, rulings, policy.budget, warnings)
    gone = [at for at in range(len(models)) if at not in kept]
    reasons = zip(*[ruling.why_not(gone) for ruling in rulings if ruling.why_not], strict=True) if gone else iter(())
    for at, model in enumerate(models):
        if at not in kept:
            yield _retired(model, next(reasons))
        elif at not in overruled:
            yield _kept(model, tuple(kept[at]))
        else:
            others = [ruling.why_not([at])[0] for ruling in rulings if ruling.why_not and at not in ruling.kept]
            yield _retired(model, (overruled[at], *others))

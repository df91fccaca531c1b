"""Which models stay and which go: the pure function (entries, policy, now) -> plan.

Owns the meaning of every retention rule, the reasons given for each model, and the limits on one run. It
reads registry entries and returns a value; it never reads a clock, touches a file, changes an entry or
retires anything: applying a plan is the business of others, who look at each entry again before they act.

How a plan comes about, group by group:

1. Entries are put in order, newest first: by trained_at as an instant, then registration sequence, then id.
2. Every rule of the policy looks at that order and says whom it holds. The rules are a union.
3. Pinned, aliased, future-dated and unreadable models are protected: they are never retired, yet they take
   their place in the order like any other, so that a pin does not make room for one model more.
4. The floor `min_keep` holds the newest, whatever the rules say.
5. The budget, last, lets go of the oldest that nothing but `within` and bucket rules hold.

Time is counted from the newest model of the group that is not in the future, never from `now`: a training job
that stopped retires nothing. `now` only tells what the future is.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import translate
from fractions import Fraction

from ..config.retention import Breaker, Policy, RetentionSection
from ..problems import Problem
from ..problems.retention import retention_breaker
from ..registry.entry import EntryFields
from .budget import over_budget
from .entries import ORDER, Model, Reader
from .outcomes import Group, Kept, Plan, Retired
from .rules import rulings_of
from .times import Times

__all__ = ["breaker_problem", "plan"]


def plan(entries: Iterable[EntryFields], section: RetentionSection, *, now: datetime, sequence: int = 0) -> Plan:
    """Return who stays and who goes under `section`, whatever its mode, with the reasons for each.

    `entries` are registry entries in any order; `now` is an aware datetime and decides only what is dated in
    the future; `sequence` is the journal's, carried along. An entry that cannot be read is kept and said in
    `warnings`. Raises ValueError for a `now` without a time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone; pass an aware datetime, such as datetime.now(UTC)")
    with _collector_paused():
        return _plan(entries, section, now.astimezone(UTC), sequence)


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Planning makes no reference cycles, only many tuples, and each hundred thousand of them would have the
    # collector walk all entries of the registry again: a third of the whole time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _plan(entries: Iterable[EntryFields], section: RetentionSection, now: datetime, sequence: int) -> Plan:
    reader = Reader(section.group_by, section.zone, now)
    times = Times(section.zone, now)
    models = [model for entry in entries if (model := reader.read(entry)) is not None]
    models.sort(key=ORDER, reverse=True)
    groups: dict[Group, list[int]] = {}  # their positions in the order
    for at, model in enumerate(models):
        groups.setdefault(model.group, []).append(at)
    policies = [(_matcher(policy), policy, policy.keep.rules()) for policy in section.policies]
    warnings = reader.warnings()
    outcomes: list[Kept | Retired | None] = [None] * len(models)
    for group, positions in sorted(groups.items()):
        members = [models[at] for at in positions]
        policy, rules = next(((policy, rules) for matches, policy, rules in policies if matches(group)), (None, ()))
        if policy is None:
            judged: Iterator[Kept | Retired] = (
                _kept(model, (*model.protection, "no policy matches its group")) for model in members
            )
        else:
            judged = _judge(members, policy, rules, times, warnings)
        for at, outcome in zip(positions, judged, strict=True):
            outcomes[at] = outcome
    keep = [outcome for outcome in outcomes if isinstance(outcome, Kept)]
    retire = [outcome for outcome in reversed(outcomes) if isinstance(outcome, Retired)]
    return Plan(
        keep=(*keep, *sorted(reader.strangers, key=lambda kept: kept.model_id)),
        retire=tuple(retire),
        bytes_freed=sum(retired.bytes for retired in retire),
        warnings=tuple(warnings),
        sequence=sequence,
        breaker=breaker_problem(len(retire), len(models) + len(reader.strangers), section.breaker),
    )


def breaker_problem(retired: int, total: int, breaker: Breaker) -> Problem | None:
    """Return why retiring `retired` of `total` models is too much for one run; None up to the limits."""
    if retired > breaker.max_deletes:
        limit, field = f"{breaker.max_deletes} models", "retention.breaker.max_deletes"
    # As it is written in decimals: in binary, 0.29 of 100 would be a little less than 29.
    elif retired > Fraction(str(breaker.max_fraction)) * total:
        limit, field = f"{breaker.max_fraction:g} of all", "retention.breaker.max_fraction"
    else:
        return None
    return retention_breaker(retired, total, limit, field)


def _kept(model: Model, reasons: tuple[str, ...]) -> Kept:
    return Kept(model.model_id, reasons, model.bytes, model.group, model.trained_at)


def _retired(model: Model, reasons: tuple[str, ...]) -> Retired:
    # Made by the hundred thousand: past the constructor, which takes twice as long as the tuple itself.
    return tuple.__new__(Retired, (model.model_id, reasons, model.bytes, model.group, model.trained_at, model.sequence))


def _matcher(policy: Policy) -> Callable[[Group], bool]:
    patterns = {key: re.compile(translate(pattern)) for key, pattern in policy.match.items()}

    def matches(group: Group) -> bool:
        return all(patterns[key].match(value) for key, value in group if key in patterns)

    return matches


def _judge(
    models: Sequence[Model], policy: Policy, rules: Sequence[str], times: Times, warnings: list[Problem]
) -> Iterator[Kept | Retired]:
    """Yield the outcome for each of `models`, a group in order, adding to `warnings` what must be said.

    `rules` are the names of the policy's rules.
    """
    rulings = rulings_of(models, policy, rules, times, warnings)
    held = {at: list(model.protection) for at, model in enumerate(models) if model.protection}
    for ruling in rulings:
        for at, reason in ruling.held.items():
            held.setdefault(at, []).append(reason)
    overruled: dict[int, str] = {}
    if policy.budget is not None:
        overruled = over_budget(models, held, rulings, policy.budget, warnings)
    gone = [at for at in range(len(models)) if at not in held]
    reasons = zip(*[ruling.fell(gone) for ruling in rulings if ruling.fell], strict=True) if gone else iter(())
    for at, model in enumerate(models):
        if at not in held:
            yield _retired(model, next(reasons))
        elif at not in overruled:
            yield _kept(model, tuple(held[at]))
        else:
            others = [ruling.fell([at])[0] for ruling in rulings if ruling.fell and at not in ruling.held]
            yield _retired(model, (overruled[at], *others))

"""The rules of a section applied to one group of models.

Owns which policy is that of a group, what its rules, its budget and the breaker come to together, and the protection of
models that are dated in the future. `plan` makes a plan of it, and `simulation` a year of them. Never reads an entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import translate
from fractions import Fraction
from itertools import takewhile
from typing import Final, NamedTuple

from ..base.units import counted
from ..config.retention import Breaker, Policy, RetentionSection
from ..problems import Problem
from ..problems.retention import retention_breaker
from .budget import over_budget
from .entries import OWNER_UID, FormerHolders, Model
from .outcomes import Group, group_text
from .rules import rulings_of
from .times import Times

__all__ = ["Outcome", "SectionRules", "breaker_problem", "protect_future"]


class Outcome(NamedTuple):
    """What the rules of its policy do with the models of a group, which are given by their position in its order.

    `kept` has the reasons for each model that a rule or a protection keeps. `gone` are the models to retire, and
    `reasons` why, in the same order; a model that the budget takes is in `kept`, too.
    """

    kept: Mapping[int, Sequence[str]]
    gone: Sequence[int]
    reasons: Sequence[tuple[str, ...]]


class SectionRules:
    """The policies of a section, ready to be applied to groups."""

    def __init__(self, section: RetentionSection) -> None:
        self.breaker = section.breaker
        self.former_aliases = {
            policy.keep.holders.alias for policy in section.policies if policy.keep.holders is not None
        }
        """The aliases whose former holders a rule asks for."""
        self._policies = [(_matcher(policy), policy, policy.keep.rules()) for policy in section.policies]
        self._of_groups: dict[Group, tuple[Policy | None, Sequence[str]]] = {}

    def policy_of(self, group: Group) -> Policy | None:
        """Return the first policy that matches a group, or None."""
        return self._find(group)[0]

    def outcome(
        self, group: Group, models: Sequence[Model], times: Times, former: FormerHolders, warnings: list[Problem]
    ) -> Outcome:
        """Return what becomes of the models of a group, newest first. Warnings are added to `warnings`."""
        policy, rules = self._find(group)
        if policy is None:
            return Outcome({at: (*model.protection, _UNMATCHED) for at, model in enumerate(models)}, (), ())
        rulings = rulings_of(models, policy, rules, times, former, warnings)
        kept = {at: list(model.protection) for at, model in enumerate(models) if model.protection}
        for ruling in rulings:
            for at, reason in ruling.kept.items():
                kept.setdefault(at, []).append(reason)
        overruled: dict[int, str] = {}
        if policy.budget is not None:
            overruled = over_budget(models, kept, rulings, policy.budget, warnings)
        gone = [at for at in range(len(models)) if at not in kept]
        reasons = (
            list(zip(*[ruling.why_not(gone) for ruling in rulings if ruling.why_not], strict=True)) if gone else []
        )
        for at, reason in overruled.items():
            others = [ruling.why_not([at])[0] for ruling in rulings if ruling.why_not and at not in ruling.kept]
            gone.append(at)
            reasons.append((reason, *others))
        return Outcome(kept, gone, reasons)

    def _find(self, group: Group) -> tuple[Policy | None, Sequence[str]]:
        found = self._of_groups.get(group)
        if found is None:
            matching = ((policy, rules) for matches, policy, rules in self._policies if matches(group))
            found = self._of_groups[group] = next(matching, (None, ()))
        return found


_UNMATCHED: Final = "no policy matches its group"


def protect_future(models: list[Model], now: datetime) -> list[Model]:
    """Protect the models that are dated after `now`. `models` are newest first, and changed. Return these models."""
    future = list(takewhile(lambda model: model.instant > now, models))
    for at, model in enumerate(future):
        models[at] = model._replace(protection=(*model.protection, f"dated in the future: {model.trained_at}"))
    return future


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


def _matcher(policy: Policy) -> Callable[[Group], bool]:
    patterns = {key: re.compile(translate(pattern)) for key, pattern in policy.match.items()}

    def matches(group: Group) -> bool:
        values = dict(group)
        return all(
            pattern.match(values[key]) or (key == "owner" and pattern.match(values[OWNER_UID]))
            for key, pattern in patterns.items()
        )

    return matches

"""What a rule of `promotion` decides in one slot: which model is to get the alias, and why.

The candidates are the models that came through the inbox after the alias last moved, with all their gates passed. They
are not held, not barred by a rollback, and have the rule's metric. The best of them gets the alias if it is better than
the holder by the rule's margin. So the decision does not depend on when it is made: a daemon that died after a
registration, or several drops that came together, lead to the same model. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from ..base.margins import gain_of
from ..config.settings import PromotionSection
from ..model.conditions.paths import parse_path
from ..problems import quoted
from ..registry.alias_stack import Target, promotion_of, read_stack, target_of
from ..registry.entry import EntryFields, sequence_of

__all__ = ["Decision", "decide"]


class Decision(NamedTuple):
    """A model that is to get the alias, who has it now, and the figures. Without a `target`, `reason` says why not."""

    target: Target | None
    holder: Target | None
    reason: str


def decide(rule: PromotionSection, entries: Sequence[EntryFields]) -> Decision | None:
    """Return what a rule decides about the entries of one slot; None if there is nothing to decide.

    A holder without the rule's metric cannot be compared: then there is a reason and no target.
    """
    stack = read_stack(entries, rule.alias)
    if stack.holder is None and stack.keepers:
        # Somebody removed the alias: somebody gives it again.
        return None
    path = parse_path(rule.when.metric)
    holder = next((entry for entry in entries if target_of(entry) == stack.holder), None)
    since = 0
    if holder is not None:
        promotion = promotion_of(holder, rule.alias)
        since = promotion["line"] if promotion is not None else sequence_of(holder)
    candidates = [
        (value, entry)
        for entry in entries
        if sequence_of(entry) > since and _may_get(entry, rule.alias) and (value := path.read(entry)) is not None
    ]
    if not candidates:
        return None
    sign = 1 if rule.when.order == "max" else -1
    value, best = max(candidates, key=lambda one: (sign * one[0], sequence_of(one[1])))
    figure = f"{rule.when.metric} {value:.10g}"
    if holder is None:
        return Decision(target_of(best), None, f"{figure}; no model had the alias")
    name, old = quoted(holder["model_id"]), path.read(holder)
    if old is None:
        return Decision(None, stack.holder, f"the holder {name} has no {rule.when.metric}, so it cannot be compared")
    gain, needed = gain_of(value, old, rule.when.order), rule.when.by.needed(old)
    if needed is None:
        return Decision(
            None, stack.holder, f"{rule.when.metric} of the holder {name} is 0, which has no {rule.when.by}"
        )
    if gain <= 0 or gain < needed:
        return None
    part = f" ({_percent(gain, old)})" if old else ""
    reason = (
        f"{figure} is better than {old:.10g} of {name} by {float(gain):.6g}{part}; the rule asks for {rule.when.by}"
    )
    return Decision(target_of(best), stack.holder, reason)


def _percent(gain: Fraction, old: float) -> str:
    return f"{float(100 * gain / abs(Fraction(repr(old)))):.4g}%"


def _may_get(entry: EntryFields, alias: str) -> bool:
    """Return whether a rule may give the alias to this model, whatever its metrics."""
    if entry.get("origin") != "inbox" or entry.get("held") or alias in (entry.get("barred") or ()):
        return False
    return all(outcome["passed"] for outcome in entry.get("gates") or ())

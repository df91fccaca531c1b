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
from ..model.slot import Slot
from ..problems import escaped, quoted
from ..registry.alias_stack import Target, promotion_of, read_stack, target_of
from ..registry.entry import EntryFields, barred_of, failed_gates, sequence_of

__all__ = ["Decision", "WhyNot", "decide", "rules_for", "why_not"]


class Decision(NamedTuple):
    """A model that is to get the alias, who has it now, and the figures. Without a `target`, `reason` says why not."""

    target: Target | None
    holder: Target | None
    reason: str


class WhyNot(NamedTuple):
    """Why a rule has not given the alias to a model, in words that go on after "because", and the change that says so.

    `line` is None if no change does.
    """

    text: str
    line: int | None = None


def rules_for(slot: Slot, rules: Sequence[PromotionSection]) -> list[PromotionSection]:
    """Return the rules that count in a slot: for each alias the first that matches."""
    found: dict[str, PromotionSection] = {}
    for rule in rules:
        if rule.match.matches(slot):
            found.setdefault(rule.alias, rule)
    return list(found.values())


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


def why_not(rule: PromotionSection, entry: EntryFields, entries: Sequence[EntryFields]) -> WhyNot:
    """Return why a rule has not given the alias to this model, which is one of the entries of its slot."""
    path = parse_path(rule.when.metric)
    value = path.read(entry)
    if _may_get(entry, rule.alias) and value is None:
        return WhyNot(f"it has no {rule.when.metric}, by which the rule chooses")
    if not _may_get(entry, rule.alias):
        return WhyNot(_what_bars(entry, rule.alias))
    stack = read_stack(entries, rule.alias)
    holder = next((one for one in entries if target_of(one) == stack.holder), None)
    if holder is None and stack.keepers:
        return WhyNot("somebody removed the alias, and after that only a person gives it again")
    if holder is not None:
        promotion, name = promotion_of(holder, rule.alias), quoted(holder["model_id"])
        since = promotion["line"] if promotion is not None else sequence_of(holder)
        if sequence_of(entry) <= since:
            text = "the rule compares only models that came after the alias last moved"
            if promotion is None:
                return WhyNot(f"{text}, and {name}, which has it, was registered later")
            why = f": {escaped(promotion['reason'], 500)}" if promotion["reason"] else ""
            return WhyNot(f"{text}. Change {since}, by {escaped(promotion['actor'])}, gave it to {name}{why}", since)
    made = decide(rule, entries)
    alone = decide(rule, [entry] if holder is None else [holder, entry])
    if alone is None:
        return WhyNot(_not_better(rule, entry, holder))
    if alone.target is None:
        return WhyNot(alone.reason)
    if made is not None and made.target is not None and made.target != alone.target:
        return WhyNot(f"{quoted(made.target.model_id)} is a better one: {made.reason}")
    what = "the rule only logs it (dry-run)" if rule.mode == "dry-run" else "the daemon has not applied the rule yet"
    return WhyNot(f"{what}: {alone.reason}")


def _not_better(rule: PromotionSection, entry: EntryFields, holder: EntryFields | None) -> str:
    """Return the figures of a model that is not better than the holder by the margin of the rule."""
    path = parse_path(rule.when.metric)
    new, old = path.read(entry), path.read(holder) if holder is not None else None
    if new is None or old is None or holder is None:
        return "there is nothing to decide"
    gain, name = gain_of(new, old, rule.when.order), quoted(holder["model_id"])
    figures = f"its {rule.when.metric} {new:.10g}"
    if gain <= 0:
        return f"{figures} is not better than {old:.10g} of {name}, which has it"
    part = f" ({_percent(gain, old)})" if old else ""
    better = f"{figures} is better than {old:.10g} of {name}, which has it, by only {float(gain):.6g}{part}"
    return f"{better}; the rule asks for {rule.when.by}"


def _what_bars(entry: EntryFields, alias: str) -> str:
    """Return what a model lacks that no rule may give an alias to."""
    failed = failed_gates(entry)
    reasons = [
        (
            "it was registered from Python, and a rule takes only what came through the inbox",
            entry.get("origin") != "inbox",
        ),
        ("it is held", bool(entry.get("held"))),
        ("a rollback left it, and no rule gives the alias back to such a model", alias in barred_of(entry)),
        (f"it did not pass {', '.join(map(escaped, failed))} of its gates", bool(failed)),
    ]
    return " and ".join(text for text, counts in reasons if counts)


def _percent(gain: Fraction, old: float) -> str:
    return f"{float(100 * gain / abs(Fraction(repr(old)))):.4g}%"


def _may_get(entry: EntryFields, alias: str) -> bool:
    """Return whether a rule may give the alias to this model, whatever its metrics."""
    if entry.get("origin") != "inbox" or entry.get("held") or alias in barred_of(entry):
        return False
    return not failed_gates(entry)

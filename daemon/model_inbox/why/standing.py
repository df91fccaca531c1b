"""Why a model is or is not the newest of its slot, and why an alias names it or does not.

Owns the sentences of these. What a rule of promotion says of the model is in the evidence. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..base.instants import instant_microseconds, microseconds_of
from ..problems import escaped, quoted
from ..registry.alias_stack import promotion_of
from ..registry.entry import EntryFields, barred_of, sequence_of
from ..registry.journal import Line
from .evidence import Answer, Evidence, text_of_person, two_times, when
from .rule_text import alias_rules, rules_of_line

__all__ = ["standing"]


def standing(evidence: Evidence) -> Iterator[Answer]:
    """Yield whether the model is newest, and for each alias of its slot whether it has it, and why."""
    if evidence.entry is not None:
        yield _newest(evidence, evidence.entry)
    yield from _promoted(evidence)


# --- newest -----------------------------------------------------------------------------------------------------------


def _newest(evidence: Evidence, entry: EntryFields) -> Answer:
    slot = quoted(evidence.slot, 200)
    if entry.get("held"):
        return Answer("newest", f"It is not the newest model of {slot}, because it is held.")
    if _trained(entry) > microseconds_of(evidence.moment):
        trained = when(entry.get("trained_at"))
        return Answer("newest", f"It is not the newest model of {slot}, because it is dated in the future: {trained}.")
    best = evidence.newest
    if best is None or best["model_id"] == entry["model_id"]:
        text = f"It is the newest model of {slot}: it was trained last ({when(entry.get('trained_at'))})"
        is_alone = evidence.models <= 1
        of = "and no other is registered there" if is_alone else f"of the {evidence.models} that are registered there"
        return Answer("newest", f"{text}, {of}.")
    other, number = quoted(best["model_id"]), sequence_of(best)
    if _trained(best) == _trained(entry):
        # Entries from before the history have no number; then the order of the ids decides.
        later = "registered later" if number != sequence_of(entry) else "its id comes later in the alphabet"
        why = f"{other} was trained at the same time ({when(entry.get('trained_at'))}) and {later}"
    else:
        later, this = two_times(best.get("trained_at"), entry.get("trained_at"))
        why = f"{other} was trained later ({later}; this one {this})"
    registered = f" {other} was registered by change {number}." if number else ""
    return Answer("newest", f"It is not the newest model of {slot}, because {why}.{registered}", number or None)


def _trained(entry: EntryFields) -> int:
    return instant_microseconds(entry.get("trained_at"))


# --- promoted ---------------------------------------------------------------------------------------------------------


def _promoted(evidence: Evidence) -> Iterator[Answer]:
    moves = [line for line in evidence.life if (line.detail or {}).get("alias")]
    chances = evidence.rules.chances if evidence.rules is not None else {}
    aliases = {str((line.detail or {})["alias"]) for line in moves}
    if evidence.entry is not None:
        aliases |= chances.keys() | evidence.aliases
    for alias in sorted(aliases):
        yield _of_alias(evidence, alias, [line for line in moves if (line.detail or {})["alias"] == alias])
    if not aliases and evidence.entry is not None:
        text = "No alias names it, and none names another model of its slot"
        if evidence.rules is None:
            text += ". Whether a rule of `promotion` counted then is unknown"
        else:
            text += "; no rule of `promotion` matches the slot"
        yield Answer("promoted", f"{text}.")


def _of_alias(evidence: Evidence, alias: str, moves: Sequence[Line]) -> Answer:
    entry, name = evidence.entry, quoted(alias)
    if entry is not None and alias in (entry.get("aliases") or ()):
        return _holds(evidence, entry, alias, moves)
    lost = next((line for line in reversed(moves) if _loses(evidence, line)), None)
    got = next((line for line in reversed(moves) if not _loses(evidence, line)), None)
    if got is None and lost is None:
        if entry is None:
            return Answer("promoted", f"The alias {name} never named it.")
        return _never(evidence, alias)
    since, until = two_times(got.time if got is not None else None, lost.time if lost is not None else None)
    since = f" since {since} (change {got.sequence})" if got is not None else ""
    if lost is None:
        # Only a retirement lets go of a model without a move of the alias, and no alias may name a retired one.
        return Answer("promoted", f"The alias {name} named it{since}. How it lost it is unknown.")
    if lost.operation == "unalias":
        how = f"{escaped(lost.actor)} removed the alias"
    else:
        what = f"a rollback by {escaped(lost.actor)}" if lost.operation == "rollback" else _who(lost)
        how = f"{what} gave it to {quoted(lost.model_id)}"
    reason = _reason(lost)
    barred = "" if entry is None or alias not in barred_of(entry) else " No rule gives it back since then."
    text = f"The alias {name} named it{since}, until {until}, when {how}{reason}.{barred}"
    return Answer("promoted", text, lost.sequence, _rules_of_move(evidence, lost, alias))


def _loses(evidence: Evidence, line: Line) -> bool:
    return line.operation == "unalias" or line.model_id != evidence.model_id


def _holds(evidence: Evidence, entry: EntryFields, alias: str, moves: Sequence[Line]) -> Answer:
    name = quoted(alias)
    if moves and moves[-1].model_id == entry["model_id"]:
        line = moves[-1]
        way = " by a rollback" if line.operation == "rollback" else ""
        way += " past its gates" if (line.detail or {}).get("override_gates") else ""
        text = f"The alias {name} names it since {when(line.time)}: {_who(line)} gave it{way}{_reason(line)}"
        return Answer("promoted", f"{text}.", line.sequence, _rules_of_move(evidence, line, alias))
    told = promotion_of(entry, alias)
    if told is None or not told["actor"]:
        return Answer("promoted", f"The alias {name} names it. Since when, and why, is unknown.")
    text = f"The alias {name} names it since {when(told['at'])}, given by {escaped(told['actor'])}"
    reason = f": {text_of_person(told['reason'])}" if told["reason"] else ""
    return Answer("promoted", f"{text}{reason}. That line is not in the history that is kept.")


def _rules_of_move(evidence: Evidence, line: Line, alias: str) -> str:
    by_rule = bool((line.detail or {}).get("rule"))
    return rules_of_line(evidence, line, "promotion", [alias]) if by_rule else ""


def _who(line: Line) -> str:
    return "the rule of `promotion`" if (line.detail or {}).get("rule") else escaped(line.actor)


def _reason(line: Line) -> str:
    return f": {text_of_person(line.reason)}" if line.reason and line.reason != line.operation else ""


def _never(evidence: Evidence, alias: str) -> Answer:
    text = f"The alias {quoted(alias)} never named it"
    if evidence.rules is None:
        return Answer("promoted", f"{text}. Whether a rule of `promotion` counted then is unknown.")
    chance = evidence.rules.chances.get(alias)
    if chance is None:
        how = "nobody gave it the alias by hand, and no rule of `promotion` does so here"
        return Answer("promoted", f"{text}: {how}.")
    rule = f"The rule: {alias_rules(evidence.rules.settings, [alias])}." if evidence.rules.settings else ""
    return Answer("promoted", f"{text}, because {chance.text}.", chance.line, rule)

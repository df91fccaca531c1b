"""Why a model is kept, or was retired, restored and purged.

Owns the sentences of these, and the words for the reasons of `retention.plan`. What the rules keep is in the evidence.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from ..base.units import format_duration
from ..problems import escaped
from ..registry.entry import EntryFields, sequence_of
from ..registry.journal import Line, brings_back, rules_of
from .evidence import Answer, Evidence, Rules, text_of_person, when
from .rule_text import retention_rules, rules_of_line

__all__ = ["keeping"]


def keeping(evidence: Evidence) -> Iterator[Answer]:
    """Yield why the model is kept, and what became of it if it was retired."""
    if evidence.entry is not None:
        yield _kept(evidence, evidence.entry)
    for line in _last_of(evidence.life):
        if line.operation == "retire":
            yield _retired(evidence, line)
        elif line.operation == "purge":
            text = f"Its files were removed permanently at {when(line.time)} by {escaped(line.actor)}"
            why = ": its time in the trash was over" if line.reason == "trash_grace" else _reason(line)
            yield Answer("purged", f"{text}{why}. It cannot be restored.", line.sequence)
        else:
            how = ", with a rollback" if line.operation == "rollback" else ""
            text = (
                f"It was brought back from the trash at {when(line.time)} by {escaped(line.actor)}{how}{_reason(line)}"
            )
            yield Answer("restored", f"{text}.", line.sequence)


def _last_of(lines: Sequence[Line]) -> list[Line]:
    """Return the last retirement, the last restore and the purge of a model, in order."""
    found: dict[str, Line] = {}
    for line in lines:
        if line.operation in ("retire", "purge"):
            found[line.operation] = line
        elif brings_back(line):
            found["restore"] = line
    return sorted(found.values(), key=lambda line: line.sequence)


# --- kept -------------------------------------------------------------------------------------------------------------


def _kept(evidence: Evidence, entry: EntryFields) -> Answer:
    rules = evidence.rules
    if rules is None:
        protected = _protected(entry)
        text = f"It is kept in any case, because {protected}. " if protected else ""
        return Answer("kept", f"{text}Which rules of retention counted then is unknown.")
    if entry.get("held"):
        if entry.get("pinned"):
            return Answer(
                "kept", "It is kept, because it is pinned. The rules of retention do not count it: it is held."
            )
        keep = f"{format_duration(rules.held_keep)} after it was held (registry.held_keep)"
        text = f"It is held, so the rules of retention do not count it. It is retired {keep}, since"
        return Answer("kept", f"{text} {when(entry.get('held_since'))}.")
    if rules.mode == "off":
        return Answer("kept", "It is kept, because no rule retires models: retention is off, or has no policies.")
    planned = rules.planned
    if planned is None:
        return Answer("kept", "Why it is kept is unknown.")
    reasons = _in_words(planned.reasons, entry)
    if planned.is_kept:
        return Answer("kept", f"It is kept, because {reasons}.", rules=_policies(rules))
    what_comes = _what_comes(rules.mode, is_stopped=planned.is_stopped)
    return Answer("kept", f"No rule of retention keeps it: {reasons}. {what_comes}", rules=_policies(rules))


def _policies(rules: Rules) -> str:
    return f"The rules: {retention_rules(rules.settings)}." if rules.settings else ""


def _what_comes(mode: str, *, is_stopped: bool) -> str:
    if is_stopped:
        return "It is kept until an operator has looked: the breaker stops the retirement of its group."
    if mode == "dry-run":
        return "It is kept all the same, because retention.mode is dry-run."
    return "It is retired when the rules are applied next."


def _protected(entry: EntryFields) -> str:
    reasons = ["it is pinned"] if entry.get("pinned") else []
    reasons += [f"the alias '{escaped(alias)}' names it" for alias in entry.get("aliases") or ()]
    return _joined(reasons)


# --- reasons of a plan, in words --------------------------------------------------------------------------------------

_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"pinned", "it is pinned"),
        (r"alias (.+)", r"the alias \1 names it"),
        (r"no policy matches its group", "no policy matches its group"),
        (r"last ([0-9]+)/all", r"the rule `last: -1` keeps all"),
        (r"last ([0-9]+)/([0-9]+)", r"it is number \1 of the last \2 of its group"),
        (r"min_keep ([0-9]+)/([0-9]+)", r"it is number \1 of the newest \2, which min_keep keeps"),
        (r"within (\S+)", r"it is less than \1 older than the newest of its group (within)"),
        (
            r"registered_within (\S+)",
            r"it was registered less than \1 before the latest of its group (registered_within)",
        ),
        (r"(hourly|daily|weekly|monthly|yearly) (\S+)", r"it is the newest of \2 (\1)"),
        (r"best (.+) (\S+) #([0-9]+)", r"it is number \3 by \1, with \2 (best)"),
        (r"holders (.+) ([0-9]+)/(.+)", r"it is number \2 of those that held the alias '\1' before (holders)"),
        (r"tags (\[.*\])", r"it has the tags \1"),
        (r"held for (.+)", r"it was held for \1"),
        (r"dated in the future: (.+)", r"it is dated in the future (\1)"),
        (
            r"budget (.+): the rules keep (.+); kept only by (.+)",
            r"the rules keep \2 of its group, more than its budget of \1, and this one only by \3",
        ),
        # Of this rule the time is that of a registration, of all others that of a training.
        (
            r"(registered_within .+): since (\S+)",
            r"the rule `\1` does not keep it since the registration at \2",
        ),
        (r"(.+): since (\S+)", r"the rule `\1` does not keep it since the model trained at \2 came"),
        (r"(.+): not eligible, (.+)", r"the rule `\1` does not count it (\2)"),
        (r"tags (\[.*\]): not set", r"it does not have the tags \1"),
        (
            r"holders (.+): #([0-9]+)",
            r"the rule `holders \1` does not keep it (it is number \2 of those that held it before)",
        ),
        (r"holders (.+): (.+)", r"the rule `holders \1` does not keep it (\2)"),
    )
)


# Between two reasons in the line of a retirement; one about a budget has such a mark in itself.
_NEXT_REASON = re.compile("; (?!kept only by )")


def _in_words(reasons: Iterable[str], entry: EntryFields | None) -> str:
    """Return the reasons of a plan for the model with this entry as part of a sentence."""
    trained_at = entry.get("trained_at") if entry is not None else None
    return _joined(_reason_in_words(reason, trained_at) for reason in reasons)


def _reason_in_words(reason: str, trained_at: str | None) -> str:
    """Return one reason of a plan in words. One of another version stays as it is."""
    rule, _, since = reason.rpartition(": since ")
    if rule.startswith("best ") and since == trained_at:
        # Models that were there before it are better.
        return text_of_person(f"the rule `{rule}` never kept it")
    for pattern, words in _WORDS:
        match = pattern.fullmatch(reason)
        if match is not None:
            return text_of_person(match.expand(words))
    return text_of_person(reason)


def _joined(parts: Iterable[str]) -> str:
    *first, last = [*parts] or [""]
    return f"{', '.join(first)} and {last}" if first else last


# --- retired ----------------------------------------------------------------------------------------------------------


def _retired(evidence: Evidence, line: Line) -> Answer:
    if line.actor != "retention" and rules_of(line) is None:
        text = f"It was retired at {when(line.time)} by {escaped(line.actor)}{_reason(line)}"
        return Answer("retired", f"{text}.{_in_trash(evidence, line)}", line.sequence)
    reasons = _in_words(_NEXT_REASON.split(line.reason), line.removed)
    who = "" if line.actor == "retention" else f", applied by {escaped(line.actor)}"
    text = f"It was retired at {when(line.time)} by the rules of retention{who}: {reasons}.{_in_trash(evidence, line)}"
    part = ["held_keep"] if "held_keep" in line.reason else []
    return Answer("retired", text, line.sequence, rules_of_line(evidence, line, "retention", part))


def _in_trash(evidence: Evidence, line: Line) -> str:
    """Say whether it can be restored, if nothing came after its retirement."""
    if evidence.entry is not None or any(
        later.sequence > line.sequence and (later.operation == "purge" or brings_back(later)) for later in evidence.life
    ):
        return ""
    if evidence.is_past:
        return " Its files were in the trash then."
    if evidence.in_trash is None:
        return " Whether its files are in the trash is not known: the trash is closed to this user."
    if not evidence.in_trash:
        return " Its files are not in the trash, and no line says that they were removed."
    until = ""
    if evidence.rules is not None and evidence.rules.mode == "enforce":
        grace = timedelta(seconds=evidence.rules.trash_grace)
        until = f" until {when(line.at + grace)} at least"
    return f" Its files are in the trash{until}: {_how_to_restore(evidence, line)}."


def _how_to_restore(evidence: Evidence, line: Line) -> str:
    """Return what brings a retired model back. The id may have been used again, and that model retired, too."""
    command = f"model-inbox restore {escaped(line.model_id)}"
    after = [one for one in evidence.lines if one.sequence > line.sequence and one.changes_entry]
    if not after:
        return f"`{command}` brings it back"
    command = f"`{command} --sequence {sequence_of(line.removed or {})}`"
    is_taken = after[-1].entry is not None
    return f"{command} brings it back{' when no other model has its id any more' if is_taken else ''}"


def _reason(line: Line) -> str:
    return f": {text_of_person(line.reason)}" if line.reason and line.reason not in _PLAIN else ""


# Reasons that say no more than the operation.
_PLAIN = ("delete_model", "delete", "restore", "purge")

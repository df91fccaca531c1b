"""Why a model was accepted, held or refused, and what its drop waits for.

Owns the sentences of these. Never decides anything again: gates and checks have decided, and their words are repeated.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..base.units import counted
from ..problems import Problem, escaped, problems_in, quoted
from ..registry.entry import EntryFields, outcomes_of, sequence_of
from ..registry.journal import Line
from .evidence import Answer, Evidence, Refusal, Waiting, text_of_person, when
from .rule_text import rules_of_line, text_of_rules

__all__ = ["arrival"]

_SHOWN_MAX = 3
_COMPLETE = {
    "digest": "its files had the SHA-256 that its sidecar gives",
    "lease": "no process had its files open",
    "quiet": "its files had stayed unchanged for the settle time",
}


def arrival(evidence: Evidence) -> Iterator[Answer]:
    """Yield why the drop waits, was refused, was a duplicate, was accepted, and whether the model is held."""
    yield from map(_waiting, evidence.waiting)
    yield from _refused(evidence)
    receipt = evidence.receipt or {}
    if receipt.get("outcome") == "duplicate":
        yield _duplicate(evidence)
    yield from _accepted(evidence)
    yield from _held(evidence)


def _waiting(file: Waiting) -> Answer:
    text = f"{quoted(file.name)} {file.words}"
    if file.problems:
        text += f", because {_because(file.problems)}"
    if file.until is not None and file.then:
        text += f". At {when(file.until)} it {file.then}"
    return Answer("waiting", f"{text}.")


def _refused(evidence: Evidence) -> Iterator[Answer]:
    earlier = len(evidence.refusals) - _SHOWN_MAX
    for refusal in evidence.refusals[-_SHOWN_MAX:]:
        text = f"The drop {quoted(refusal.drop_id, 120)} was refused at {when(refusal.at)}"
        if refusal.problems:
            text += f", because {_because(refusal.problems)}."
        else:
            text += ". Why is not known: its reason.json is missing or damaged, or closed to this user."
        if earlier > 0:
            text += f" {counted(earlier, 'earlier drop')} of it {'was' if earlier == 1 else 'were'} refused, too."
            earlier = 0
        yield Answer("refused", text, rules=_rules_of_refusal(evidence, refusal))


def _rules_of_refusal(evidence: Evidence, refusal: Refusal) -> str:
    """Return the rules that refused a drop. Other refusals are the same under any rules."""
    if not any(problem.code == "gates.failed" or problem.code.startswith("checks.") for problem in refusal.problems):
        return ""
    return text_of_rules(evidence, refusal.rules, "refused", [problem.message for problem in refusal.problems])


def _because(problems: Iterable[Problem]) -> str:
    return "; ".join(
        f"{text_of_person(problem.message)} ({escaped(problem.code)})"
        + (f"; what to do: {text_of_person(problem.hint)}" if problem.hint else "")
        for problem in problems
    )


def _duplicate(evidence: Evidence) -> Answer:
    receipt = evidence.receipt or {}
    drop = quoted(receipt.get("drop_id"), 120)
    text = f"The drop {drop} changed nothing at {when(receipt.get('at'))}: the same bytes were registered already"
    problems = problems_in(receipt.get("problems"))
    if problems:
        text += f". Its metadata differs, and the registered one stays: {_because(problems)}"
    return Answer("duplicate", f"{text}.")


def _accepted(evidence: Evidence) -> Iterator[Answer]:
    line = next((line for line in evidence.life if line.operation == "register"), None)
    if line is not None and line.entry is not None:
        entry = line.entry
        if entry.get("origin") == "inbox":
            text = f"It was accepted: {_drop_of(line)} was registered at {when(line.time)}. {_conditions(entry)}"
        else:
            text = (
                f"It was registered from Python at {when(line.time)} by {escaped(line.actor)}. No rule of the inbox "
                "and no gate was asked for that"
            )
        text += f".{_notes(evidence, line)}"
        rules = ""
        if entry.get("origin") == "inbox":
            names = {outcome["gate"] for outcome in outcomes_of(entry)}
            rules = rules_of_line(evidence, line, "gates", names)
        yield Answer("accepted", text, line.sequence, rules)
        return
    rebuilt = next((line for line in evidence.life if line.operation == "rebuild" and line.entry is not None), None)
    if rebuilt is not None:
        text = f"It was put back by `model-inbox rebuild` at {when(rebuilt.time)}: {text_of_person(rebuilt.reason)}"
        yield Answer("accepted", f"{text}. Why it was accepted before that is unknown.", rebuilt.sequence)
        return
    known = evidence.entry or next((line.removed for line in evidence.life if line.removed is not None), None)
    if known is not None:
        yield _accepted_before_history(known)
    elif evidence.sidecar:
        text = f"Nothing of the journal that is kept tells of it. Its stored sidecar is there: {evidence.sidecar}"
        yield Answer("accepted", f"{text}. So it was registered once; when, and why it was accepted, is unknown.")


def _drop_of(line: Line) -> str:
    owner = line.actor.removeprefix("inbox:")
    return f"the drop {quoted(line.drop_id, 120)}" + (f" of {escaped(owner)}" if owner != line.actor else "")


def _conditions(entry: EntryFields) -> str:
    how = _COMPLETE.get(str(entry.get("integrity")), "how its files were known to be complete is unknown")
    passed = [outcome for outcome in outcomes_of(entry) if outcome["passed"]]
    text = f"Its sidecar and its pickles had no problem, and it was complete: {how}"
    if not outcomes_of(entry):
        return f"{text}. No gate was asked"
    if not passed:
        return text
    said = "; ".join(f"{escaped(outcome['gate'])}: {text_of_person(outcome['says'])}" for outcome in passed)
    return f"{text}. It passed {counted(len(passed), 'condition')} of its gates ({said})"


def _notes(evidence: Evidence, line: Line) -> str:
    receipt = evidence.receipt or {}
    if receipt.get("drop_id") != line.drop_id:
        return ""
    notes = [note for note in problems_in(receipt.get("notes")) if note.code != "gates.held"]
    return f" Its receipt notes: {_because(notes)}." if notes else ""


def _accepted_before_history(entry: EntryFields) -> Answer:
    number = sequence_of(entry)
    if not entry.get("registered_at"):
        return Answer(
            "accepted",
            "It was in the registry before model-inbox kept a history. How it came there, and why, is unknown.",
        )
    origin = f"with the drop {quoted(entry.get('drop_id'), 120)}" if entry.get("drop_id") else "from Python"
    text = f"It was registered at {when(entry.get('registered_at'))} {origin}, by change {number}"
    text += ". That line is not in the history that is kept. Its entry is, and says what was found"
    if entry.get("origin") == "inbox":
        text += f": {_conditions(entry)[0].lower()}{_conditions(entry)[1:]}"
    return Answer("accepted", f"{text}.")


def _held(evidence: Evidence) -> Iterator[Answer]:
    """Yield the last thing that happened to its being held."""
    last: Answer | None = None
    before: object = None
    for line in evidence.life:
        if line.entry is None or line.model_id != evidence.model_id:
            continue
        held = line.entry.get("held")
        if held and held != before:
            by = "at its registration" if line.operation == "register" else f"by {escaped(line.actor)}"
            text = f"It was held {by} at {when(line.time)}, because {text_of_person(held)}"
            last = Answer("held", f"{text}.", line.sequence)
        elif before and not held:
            reason = f": {text_of_person(line.reason)}" if line.reason and line.reason != line.operation else ""
            text = f"It was released at {when(line.time)} by {escaped(line.actor)}{reason}. It had been held, because"
            last = Answer("held", f"{text} {text_of_person(before)}.", line.sequence)
        before = held
    entry = evidence.entry
    if entry is not None and entry.get("held"):
        if last is None:
            text = f"It is held since {when(entry.get('held_since'))}, because {text_of_person(entry['held'])}."
            last = Answer("held", text)
        name = evidence.model_id
        told = f"It is not served until somebody releases it: `model-inbox unhold {name}`."
        last = Answer("held", f"{last.text} {told}", last.sequence)
    if last is not None:
        yield last

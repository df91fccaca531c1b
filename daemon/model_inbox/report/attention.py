"""What needs a person: one sentence for each thing, each with what to do.

Owns what counts as such, and the order: what is broken first, then what was refused, then what should be looked at.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..base.units import counted
from ..problems import Problem
from .facts import Attention, Rejected, SlotFacts, Waiting
from .pages import anchor_of

__all__ = ["needs"]

_NAMED = 3
_STUCK = frozenset({"stuck", "refused"})


def needs(
    problems: Iterable[Problem],
    rejected: Sequence[Rejected],
    waiting: Sequence[Waiting],
    slots: Sequence[SlotFacts],
    breakers: Iterable[Problem],
    warnings: Iterable[Problem],
    held: Sequence[tuple[str, str]],
) -> tuple[Attention, ...]:
    """Return what needs a person. `held` are the models that are held and newer than the one in service, with why."""
    found = [Attention("bad", "Daemon", one.message, one.hint) for one in problems]
    found += [Attention("bad", "Retention", one.message, one.hint, "retention") for one in breakers]
    found += _several(
        [
            Attention(
                "bad",
                drop.model_id or drop.stem,
                drop.problems[0].message if drop.problems else "its reasons cannot be read",
                drop.problems[0].hint if drop.problems else "",
                "rejected",
                is_id=True,
            )
            for drop in rejected
            if not drop.is_answered
        ],
        "Rejected",
        "drop",
        "were rejected",
        "rejected",
    )
    found += _several(
        [
            Attention(
                "warn",
                one.name,
                "; ".join(problem.message for problem in one.problems) or one.words,
                next((problem.hint for problem in one.problems if problem.hint), ""),
                "inbox",
                is_id=True,
            )
            for one in waiting
            if one.state in _STUCK
        ],
        "Inbox",
        "file",
        "wait for a person or are rejected next",
        "inbox",
    )
    found += _several(
        [
            Attention(
                "warn",
                model_id,
                f"is held: {why}",
                f"`model-inbox unhold {model_id}` lets it be served, `model-inbox delete {model_id}` retires it",
                is_id=True,
            )
            for model_id, why in held
        ],
        "Held",
        "model",
        "newer than the one in service are held",
        "service",
    )
    found += _several(
        [
            Attention("warn", str(one.slot), one.quiet, "Look at the training job", anchor_of(one.slot))
            for one in slots
            if one.quiet
        ],
        "Quiet",
        "slot",
        "had no new model for longer than is usual",
        "service",
    )
    found += [Attention("warn", "Retention", one.message, one.hint, "retention") for one in list(warnings)[:_NAMED]]
    return tuple(found)


def _several(found: list[Attention], about: str, noun: str, words: str, anchor: str) -> list[Attention]:
    """Return the first ones, and one sentence for all others of the same kind."""
    if len(found) <= _NAMED + 1:
        return found
    rest = Attention(found[0].level, about, f"{counted(len(found) - _NAMED, f'more {noun}')} {words}.", "", anchor)
    return [*found[:_NAMED], rest]

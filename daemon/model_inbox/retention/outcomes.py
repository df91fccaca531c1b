"""A retention plan as a value: the models to keep and those to retire, each with all reasons.

Owns these values and their JSON form. Never decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..base.units import counted
from ..problems import Problem, quoted
from ..registry.position import Identity

__all__ = [
    "Group",
    "RetentionPlan",
    "ToKeep",
    "ToRetire",
    "breakers_in_words",
    "group_text",
    "is_reason_of_rules",
    "reason_of_rules",
]

Group = tuple[tuple[str, str], ...]
"""The common values of a group of models: ("currency_pair", "EUR/USD"), ("model_type", "lightgbm")."""

# The models of a plan are named tuples, which are made twice as fast as dataclasses: a plan can have 100,000 of them.


class ToKeep(NamedTuple):
    """A model to keep. `reasons` has all protections and rules that keep it, at least one.

    `bytes` is the size of the model and its scaler. `trained_at` is empty if it cannot be parsed.
    """

    model_id: str
    reasons: tuple[str, ...]
    bytes: int = 0
    group: Group = ()
    trained_at: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the model as a JSON object."""
        return _as_dict(self)


class ToRetire(NamedTuple):
    """A model to retire. `reasons` has every rule of its policy, and since when the rule does not keep it.

    "Since" is the training time of the newer model that displaced this one. `sequence` is the sequence number of its
    registration: a later model with the same id has another.
    """

    model_id: str
    reasons: tuple[str, ...]
    bytes: int = 0
    group: Group = ()
    trained_at: str = ""
    sequence: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the model as a JSON object."""
        return _as_dict(self)


def _as_dict(model: ToKeep | ToRetire) -> dict[str, Any]:
    return {
        "model_id": model.model_id,
        "reasons": list(model.reasons),
        "trained_at": model.trained_at,
        "bytes": model.bytes,
        "group": dict(model.group),
    }


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What one run would do to the registry in its state after journal line `sequence` of the epoch `identity`.

    `keep` is ordered newest first, with models that have no place in the order at the end; `retire` is ordered oldest
    first. Together they are all entries. `bytes_freed` is the size of the models to retire. `breakers` has the groups
    of which the plan would retire more than one run may, with the problem of each: only an operator may retire these.
    """

    keep: tuple[ToKeep, ...]
    retire: tuple[ToRetire, ...]
    bytes_freed: int
    warnings: tuple[Problem, ...] = ()
    sequence: int = 0
    breakers: tuple[tuple[Group, Problem], ...] = ()
    identity: Identity | None = None

    @property
    def breaker(self) -> Problem | None:
        """The problem of the first group that the breaker stops, or None."""
        return self.breakers[0][1] if self.breakers else None

    def allowed(self) -> tuple[ToRetire, ...]:
        """Return the models to retire without those of the groups that the breaker stops."""
        stopped = {group for group, _ in self.breakers}
        return tuple(item for item in self.retire if item.group not in stopped) if stopped else self.retire

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as the JSON object that `model-inbox retention plan --json` prints."""
        return {
            "keep": [kept.as_dict() for kept in self.keep],
            "retire": [retired.as_dict() for retired in self.retire],
            "bytes_freed": self.bytes_freed,
            "sequence": self.sequence,
            "breaker": self.breaker.as_dict() if self.breaker else None,
            "breakers": [{"group": dict(group), **problem.as_dict()} for group, problem in self.breakers],
            "warnings": [warning.as_dict() for warning in self.warnings],
        }


def breakers_in_words(plan: RetentionPlan) -> str:
    """Return why the breaker stops groups of a plan: the first problem, and how many more groups there are."""
    more = len(plan.breakers) - 1
    return str(plan.breaker) + (f" (and {counted(more, 'more group')})" if more > 0 else "")


def group_text(group: Group) -> str:
    """Return the name of a group for a message."""
    named = [quoted(value) for name, value in group if value or name != "variant"]
    return f"the group {', '.join(named)}" if named else "the registry"


_OF_RULES: Final = re.compile(
    "(?:last|within|registered_within|hourly|daily|weekly|monthly|yearly|best|holders|tags|budget) .+?"
    "(?:: (?:since [0-9-]|not set|not eligible, |#[0-9]|never held it|the rules keep ))"
)


def reason_of_rules(reasons: Iterable[str]) -> str:
    """Return the reasons of a plan as the one text that the journal line of a retirement has."""
    return "; ".join(reasons)


def is_reason_of_rules(reason: str) -> bool:
    """Return whether a journal line's reason is one that `reason_of_rules` writes: a rule retired the model."""
    return _OF_RULES.match(reason) is not None

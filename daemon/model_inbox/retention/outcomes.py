"""What a plan says: the models that stay and those that go, each with all its reasons.

Owns these values and how they look as JSON. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..problems import Problem, quoted
from ..registry.position import Identity

__all__ = ["Group", "Kept", "Plan", "Retired", "group_text"]

Group = tuple[tuple[str, str], ...]
"""What the models of a group share: ("currency_pair", "EUR/USD"), ("model_type", "lightgbm")."""

# Models of a plan are named tuples: a plan may hold a hundred thousand of them, and these are made twice as fast as
# dataclasses.


class Kept(NamedTuple):
    """A model that stays. `reasons`, never empty, names everything that protects or holds it.

    `bytes` is the size of the model with its scaler; `trained_at` is empty where it cannot be read.
    """

    model_id: str
    reasons: tuple[str, ...]
    bytes: int = 0
    group: Group = ()
    trained_at: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the model as a JSON object."""
        return _as_dict(self)


class Retired(NamedTuple):
    """A model that goes. `reasons`, never empty, names every rule that it fell out of and since when.

    "Since" is the training time of the model whose coming pushed this one out. `sequence` is that of its
    registration, by which it is told from a later model of the same id.
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


def _as_dict(model: Kept | Retired) -> dict[str, Any]:
    return {
        "model_id": model.model_id,
        "reasons": list(model.reasons),
        "trained_at": model.trained_at,
        "bytes": model.bytes,
        "group": dict(model.group),
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run would do to the registry as it stood after the journal line `sequence` of the epoch `identity`.

    `keep` is newest first (those without a place in the order at its end), `retire` oldest first; together
    they are all entries. `bytes_freed` is the size of `retire`. When `breaker` is set the plan is over the
    limits of one run: it shows what would go, and may be applied only by an operator's own hand.
    """

    keep: tuple[Kept, ...]
    retire: tuple[Retired, ...]
    bytes_freed: int
    warnings: tuple[Problem, ...] = ()
    sequence: int = 0
    breaker: Problem | None = None
    identity: Identity | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON object: what `model-inbox retention plan --json` prints."""
        return {
            "keep": [kept.as_dict() for kept in self.keep],
            "retire": [retired.as_dict() for retired in self.retire],
            "bytes_freed": self.bytes_freed,
            "sequence": self.sequence,
            "breaker": self.breaker.as_dict() if self.breaker else None,
            "warnings": [warning.as_dict() for warning in self.warnings],
        }


def group_text(group: Group) -> str:
    """Return a group as it is called in a message."""
    return f"the group {', '.join(quoted(value) for _, value in group)}" if group else "the registry"

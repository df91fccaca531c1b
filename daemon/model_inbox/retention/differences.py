"""What two retention sections do differently with the same models.

Owns the comparison of two plans, and its JSON form. Pure. Never makes a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .outcomes import Group, RetentionPlan, ToKeep, ToRetire

__all__ = ["Difference", "PlanDifferences", "Ruling", "compare_plans"]


class Ruling(NamedTuple):
    """What one plan does with a model, and why."""

    outcome: Literal["keep", "retire"]
    reasons: tuple[str, ...]


class Difference(NamedTuple):
    """A model that one plan keeps and the other retires. `group` is that of the second plan."""

    model_id: str
    trained_at: str
    bytes: int
    group: Group
    before: Ruling
    after: Ruling


@dataclass(frozen=True, slots=True)
class PlanDifferences:
    """What changes if the rules of the plan `before` are replaced by those of `after`.

    `retired` are the models that only the second plan retires, `kept` those that only the first retires, both in the
    order of the plans: retired ones oldest first, kept ones newest first.
    """

    before: RetentionPlan
    after: RetentionPlan
    retired: tuple[Difference, ...]
    kept: tuple[Difference, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object that `model-inbox retention plan --diff --json` prints."""
        return {
            "retired": [_as_dict(one) for one in self.retired],
            "kept": [_as_dict(one) for one in self.kept],
            "before": _summary(self.before),
            "after": _summary(self.after),
            "sequence": self.after.sequence,
        }


def compare_plans(before: RetentionPlan, after: RetentionPlan) -> PlanDifferences:
    """Return the differences between two plans for the same entries."""
    old, new = _rulings(before), _rulings(after)
    return PlanDifferences(
        before,
        after,
        tuple(
            _difference(model, old[model.model_id], new[model.model_id])
            for model in after.retire
            if old[model.model_id].outcome == "keep"
        ),
        tuple(
            _difference(model, old[model.model_id], new[model.model_id])
            for model in after.keep
            if old[model.model_id].outcome == "retire"
        ),
    )


def _rulings(plan: RetentionPlan) -> dict[str, Ruling]:
    kept = {model.model_id: Ruling("keep", model.reasons) for model in plan.keep}
    return kept | {model.model_id: Ruling("retire", model.reasons) for model in plan.retire}


def _difference(model: ToKeep | ToRetire, before: Ruling, after: Ruling) -> Difference:
    return Difference(model.model_id, model.trained_at, model.bytes, model.group, before, after)


def _as_dict(one: Difference) -> dict[str, Any]:
    return {
        "model_id": one.model_id,
        "trained_at": one.trained_at,
        "bytes": one.bytes,
        "group": dict(one.group),
        "before": {"outcome": one.before.outcome, "reasons": list(one.before.reasons)},
        "after": {"outcome": one.after.outcome, "reasons": list(one.after.reasons)},
    }


def _summary(plan: RetentionPlan) -> dict[str, Any]:
    return {
        "keep": len(plan.keep),
        "retire": len(plan.retire),
        "bytes_freed": plan.bytes_freed,
        "breakers": [{"group": dict(group), **problem.as_dict()} for group, problem in plan.breakers],
        "warnings": [warning.as_dict() for warning in plan.warnings],
    }

"""The budget of a policy: which of the models that the rules hold have to go because of their size.

Lets go of the oldest first, and only of those that nothing but `within` and bucket rules hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base.units import format_size
from ..problems import Problem, quoted
from ..problems.retention import retention_budget, retention_size_unknown
from .entries import Model, listing
from .outcomes import group_text
from .rules import Ruling

__all__ = ["over_budget"]


def over_budget(
    models: Sequence[Model],
    held: Mapping[int, Sequence[str]],
    rulings: Sequence[Ruling],
    budget: int,
    warnings: list[Problem],
) -> dict[int, str]:
    """Return whom the budget retires of those held, oldest first, each with the reason."""
    group = group_text(models[0].group)
    unsized = [quoted(models[at].model_id) for at in held if not models[at].bytes]
    if unsized:
        count = len(unsized)
        warnings.append(retention_size_unknown(count, group, format_size(budget), listing(unsized, count)))
    firm = {at for ruling in rulings if ruling.firm for at in ruling.held}
    total = taken = sum(models[at].bytes for at in held)
    overruled: dict[int, str] = {}
    for at in sorted(held, reverse=True):
        if taken <= budget:
            break
        if at not in firm and not models[at].protection:
            taken -= models[at].bytes
            overruled[at] = (
                f"budget {format_size(budget)}: the rules hold {format_size(total)}; held only by {', '.join(held[at])}"
            )
    if taken > budget:
        warnings.append(retention_budget(group, format_size(taken), format_size(budget)))
    return overruled

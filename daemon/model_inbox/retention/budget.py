"""The budget of a policy: which models to retire because the kept ones are too large together.

Retires the oldest first, and only models that no rule but `within` and bucket rules keep. Never looks at files: the
sizes are those of the entries.
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
    kept: Mapping[int, Sequence[str]],
    rulings: Sequence[Ruling],
    budget: int,
    warnings: list[Problem],
) -> dict[int, str]:
    """Return the positions of the kept models that the budget retires, oldest first, with the reason for each."""
    group = group_text(models[0].group)
    unsized = [quoted(models[at].model_id) for at in kept if not models[at].bytes]
    if unsized:
        count = len(unsized)
        warnings.append(retention_size_unknown(count, group, format_size(budget), listing(unsized, count)))
    secured = {at for ruling in rulings if ruling.beats_budget for at in ruling.kept}
    total = taken = sum(models[at].bytes for at in kept)
    overruled: dict[int, str] = {}
    for at in sorted(kept, reverse=True):
        if taken <= budget:
            break
        if at not in secured and not models[at].protection:
            taken -= models[at].bytes
            overruled[at] = (
                f"budget {format_size(budget)}: the rules keep {format_size(total)}; kept only by {', '.join(kept[at])}"
            )
    if taken > budget:
        warnings.append(retention_budget(group, format_size(taken), format_size(budget)))
    return overruled

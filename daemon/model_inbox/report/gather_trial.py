"""Reads the past of a registry and tries other retention rules on it, for the page.

Owns the reading alone. Changes nothing, and locks nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ..config.retention import RetentionSection
from ..registry.registry import ModelRegistry
from ..retention.differences import compare_plans
from ..retention.plan import plan
from ..retention.simulation import simulate
from .trial import Trial, trial_of

__all__ = ["gather_trial"]

OVER = timedelta(days=365)
"""How far back a trial begins."""


def gather_trial(
    registry: ModelRegistry, section: RetentionSection, other: RetentionSection, name: str, now: datetime
) -> Trial:
    """Return what the rules `other`, of the file `name`, would have done, and would do today beside `section`.

    Raises what reading the registry and its history raises.
    """
    _, sequence, entries = registry.stored_entries()
    before, after = (plan(entries, one, now=now, sequence=sequence) for one in (section, other))
    simulated = simulate(registry.past(), other, begin=now - OVER, end=now)
    return trial_of(name, simulated, compare_plans(before, after))

"""Which snapshots to keep and which to remove, by the rules of retention.

Owns the translation of snapshots to what the retention plan reads: a snapshot counts as a model that was trained when
the snapshot was made. Pure: `folder` removes. The newest snapshot is always kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..base.instants import canonical_instant
from ..config.retention import Keep, Policy, RetentionSection
from ..registry.entry import as_fields
from ..retention.plan import plan
from .folder import Snapshot
from .manifest import snapshot_time

__all__ = ["Thinning", "plan_thinning"]


@dataclass(frozen=True, slots=True)
class Thinning:
    """Snapshots to keep and to remove, by name, each with its reasons; newest first and oldest first."""

    keep: tuple[tuple[str, tuple[str, ...]], ...]
    remove: tuple[tuple[str, tuple[str, ...]], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            "keep": [{"name": name, "reasons": list(reasons)} for name, reasons in self.keep],
            "remove": [{"name": name, "reasons": list(reasons)} for name, reasons in self.remove],
        }


def plan_thinning(snapshots: Sequence[Snapshot], keep: Keep, *, now: datetime) -> Thinning:
    """Return what to keep and to remove. Snapshots whose manifest cannot be read are kept, and take no place."""
    sound = [one.name for one in snapshots if one.manifest is not None]
    section = RetentionSection(group_by=(), policies=(Policy(keep=keep, min_keep=1),))
    entries = [
        as_fields({"model_id": name, "trained_at": canonical_instant(made), "sequence": number, "size_bytes": 0})
        for number, name in enumerate(sound)
        if (made := snapshot_time(name)) is not None
    ]
    made_plan = plan(entries, section, now=now)
    kept = [(one.model_id, one.reasons) for one in made_plan.keep]
    kept += [(one.name, ("its manifest cannot be read",)) for one in reversed(snapshots) if one.manifest is None]
    return Thinning(tuple(kept), tuple((one.model_id, one.reasons) for one in made_plan.retire))

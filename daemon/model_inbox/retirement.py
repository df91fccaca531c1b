"""Carrying out a retention plan: retire what the rules let go of, purge what has been in the trash long enough.

Owns the care: each entry is looked at again before it goes, a plan over the breaker's limits does nothing, and
every step is a committed line before a file moves. The rules themselves are `retention`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from .errors import EntryProtected
from .policy import RetentionSection
from .registry import ModelRegistry
from .retention import Plan, plan

__all__ = ["Applied", "apply_retention", "plan_retention", "purge_trash"]

log = structlog.get_logger("model_inbox")


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done of a plan. `skipped` were protected, or gone, by the time their turn came."""

    plan: Plan
    retired: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    refused: bool = False


def plan_retention(registry: ModelRegistry, section: RetentionSection, now: datetime) -> Plan:
    """Return the plan for the registry as it is."""
    sequence = registry.sequence
    return plan(registry.list_models(), section, now=now, sequence=sequence)


def apply_retention(
    registry: ModelRegistry,
    section: RetentionSection,
    now: datetime,
    *,
    actor: str = "retention",
    override_breaker: bool = False,
) -> Applied:
    """Plan, and retire what the plan says, one committed step after the other.

    A pin, an alias or another registration that arrives meanwhile wins. In dry-run mode nothing is done.
    Raises StorageError and RegistryError; what was retired before stays retired, and the next run goes on.
    """
    made = plan_retention(registry, section, now)
    if made.retire:
        log.info(
            "retention.planned",
            mode=section.mode,
            keep=len(made.keep),
            retire=len(made.retire),
            bytes=made.bytes_freed,
        )
    if section.mode == "dry-run" or not made.retire:
        return Applied(made)
    if made.breaker is not None and not override_breaker:
        log.error("retention.refused", problem=str(made.breaker), retire=len(made.retire))
        return Applied(made, refused=True)
    retired, skipped = [], []
    for item in made.retire:
        entry = registry.get_model_info(item.model_id)
        try:
            gone = entry is not None and registry.delete_model(
                item.model_id,
                reason="; ".join(item.reasons),
                actor=actor,
                expect=entry.get("sequence"),
            )
        except EntryProtected:
            gone = False
        if entry is None or not gone:
            skipped.append(item.model_id)
            continue
        retired.append(item.model_id)
        log.info(
            "entry.retired",
            model_id=item.model_id,
            currency_pair=entry.get("currency_pair"),
            model_type=entry.get("model_type"),
            reasons=list(item.reasons),
            bytes=item.bytes,
            sequence=entry.get("sequence"),
        )
    return Applied(made, tuple(retired), tuple(skipped))


def purge_trash(
    registry: ModelRegistry, grace_seconds: float, now: datetime, *, actor: str = "retention"
) -> tuple[int, int]:
    """Remove for good what was retired longer ago than the grace; return (models, bytes freed).

    A model whose file some process has open stays until the next time.
    """
    models = freed = 0
    for item in registry.retired():
        if now - item.at <= timedelta(seconds=grace_seconds):
            continue
        count = registry.purge(item, reason="trash_grace", actor=actor)
        if count is None:
            continue
        models += 1
        freed += count
        log.info("entry.purged", model_id=item.model_id, sequence=item.sequence, bytes=count)
    return models, freed

"""Carrying out a retention plan: retire what the rules let go of, purge what has been in the trash long enough.

Owns the care: each entry is looked at again before it goes, a plan over the breaker's limits does nothing, and
every step is a committed line before a file moves. The rules themselves are `retention`'s.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from .errors import EntryProtected, StorageError
from .fsio import Disk
from .policy import RetentionSection
from .registry import ModelRegistry
from .retention import Plan, plan

__all__ = ["Applied", "apply_retention", "plan_retention", "purge_leftovers", "purge_trash"]

log = structlog.get_logger("model_inbox")

_LEFTOVER = re.compile(r"(?P<file>.+)\.leftover-[0-9]+", re.ASCII)


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


def purge_leftovers(trash_dir: Path, grace_seconds: float, now: datetime, disk: Disk) -> tuple[int, int]:
    """Remove for good the files without an entry that were set aside longer ago than the grace.

    They were never a registered model's, so the journal has nothing to say of them. Returns (folders, bytes freed).
    One that cannot be removed keeps no other from going; the first such error is raised in the end (StorageError).
    """
    folders = freed = 0
    failed: StorageError | None = None
    try:
        names = sorted(os.listdir(trash_dir))
    except FileNotFoundError:
        return 0, 0
    except OSError as error:
        raise StorageError("list", trash_dir, error) from error
    for name in names:
        match = _LEFTOVER.fullmatch(name)
        if match is None:
            continue
        folder = trash_dir / name
        try:
            if now.timestamp() - folder.stat(follow_symlinks=False).st_mtime <= grace_seconds:
                continue
            size = 0
            for held in sorted(os.listdir(folder)):
                size += (folder / held).lstat().st_size
                disk.unlink(folder / held)
            disk.rmdir(folder)
            disk.fsync_dir(trash_dir)
        except OSError as error:
            failed = failed or StorageError("purge", folder, error)
            continue
        folders += 1
        freed += size
        log.info("entry.purged", model_id=match["file"], bytes=size)
    if failed is not None:
        raise failed
    return folders, freed

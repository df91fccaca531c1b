"""Carrying out a retention plan: retire what the rules let go of, purge what has been in the trash long enough.

Owns the care: each entry is looked at again before it goes, a plan over the breaker's limits does nothing, and
every step is a committed line before a file moves. The rules themselves are `retention`'s.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from ..base.disk import Disk
from ..config.retention import RetentionSection
from ..errors import StorageError
from ..problems import escaped
from ..registry.registry import ModelRegistry
from .outcomes import Plan, Retired
from .plan import plan

__all__ = ["Applied", "apply_retention", "plan_retention", "purge_leftovers", "purge_trash"]

log = structlog.get_logger("model_inbox")

_LEFTOVER = re.compile(r"(?P<file>.+)\.leftover-[0-9]+", re.ASCII)
_LOOKS_MAX = 3


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done of a plan. `skipped` were protected, held again, or gone, by the time their turn came.

    `refused` is true when the breaker stopped it, and then nothing was done; `plan.breaker` says why.
    """

    plan: Plan
    retired: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    refused: bool = False


def plan_retention(registry: ModelRegistry, section: RetentionSection, now: datetime) -> Plan:
    """Return the plan for the registry as it is, with its sequence and epoch."""
    identity, sequence, entries = registry.stored_entries()
    return replace(plan(entries, section, now=now, sequence=sequence), identity=identity)


def apply_retention(
    registry: ModelRegistry,
    section: RetentionSection,
    now: datetime,
    *,
    planned: Plan | None = None,
    actor: str = "retention",
    override_breaker: bool = False,
) -> Applied:
    """Plan, and retire what the plan says, one committed step after the other.

    With `planned` only what that plan says goes (the one that an operator saw). Whatever is committed to the
    registry meanwhile, by anybody, is looked at before the next step: what the rules hold by then, what is protected
    by then, and another model that has the id by then stays. In dry-run mode nothing is done. Raises StorageError and
    RegistryError; what was retired before stays retired, and the next run goes on.
    """
    made = planned if planned is not None else plan_retention(registry, section, now)
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
    turn = _Turn(registry, section, now, made)
    retired, skipped = [], []
    for item in made.retire:
        if not turn.take(item, actor):
            skipped.append(item.model_id)
            log.info("entry.spared", model_id=escaped(item.model_id), sequence=item.sequence)
            continue
        retired.append(item.model_id)
        group = dict(item.group)
        log.info(
            "entry.retired",
            model_id=escaped(item.model_id),
            currency_pair=group.get("currency_pair"),
            model_type=group.get("model_type"),
            reasons=list(item.reasons),
            bytes=item.bytes,
            sequence=item.sequence,
        )
    return Applied(made, tuple(retired), tuple(skipped))


class _Turn:
    """One model's turn to go, as long as the rules still say so of the registry as it is at that moment."""

    def __init__(self, registry: ModelRegistry, section: RetentionSection, now: datetime, made: Plan) -> None:
        self._registry = registry
        self._section = section
        self._now = now
        self._goes = {(item.model_id, item.sequence): item for item in made.retire}
        self._sequence, self._identity = made.sequence, made.identity

    def take(self, item: Retired, actor: str) -> bool:
        """Retire the model and tell whether that was done."""
        for _ in range(_LOOKS_MAX):
            if self._registry.sequence != self._sequence or self._registry.identity != self._identity:
                # Somebody changed something: a pin, an alias, a tag, a drop, a deletion. Or the same number stands for
                # another line by now: a rebuild, an older copy. All rules look again.
                made = plan_retention(self._registry, self._section, self._now)
                self._goes = {(item.model_id, item.sequence): item for item in made.retire}
                self._sequence, self._identity = made.sequence, made.identity
            seen = self._goes.get((item.model_id, item.sequence))
            if seen is None:
                return False
            reason = "; ".join(seen.reasons)
            at = self._identity.at(self._sequence) if self._identity is not None else self._sequence
            if self._registry.delete_model(item.model_id, reason=reason, actor=actor, at=at):
                # Our own line changes nothing for the others: the rules let go of it anyway. It may be the one that
                # gave the registry its identity.
                self._sequence += 1
                self._identity = self._identity or self._registry.identity
                return True
        return False  # others write faster than we can plan; the next run looks again


def purge_trash(
    registry: ModelRegistry, grace_seconds: float, now: datetime, *, actor: str = "retention"
) -> tuple[int, int]:
    """Remove for good what was retired longer ago than the grace; return (models, bytes freed).

    A model whose file some process has open stays until the next time. One that cannot be removed keeps no other from
    going; the first such error is raised in the end (StorageError).
    """
    models = freed = 0
    failed: StorageError | None = None
    for item in registry.retired():
        if now - item.at <= timedelta(seconds=grace_seconds):
            continue
        try:
            count = registry.purge(item, reason="trash_grace", actor=actor)
        except StorageError as error:
            failed = failed or error
            continue
        if count is None:
            continue
        models += 1
        freed += count
        log.info("entry.purged", model_id=escaped(item.model_id), sequence=item.sequence, bytes=count)
    if failed is not None:
        raise failed
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
            about = folder.stat(follow_symlinks=False)
            # A link by such a name is not ours, and what it points to even less.
            if not stat.S_ISDIR(about.st_mode) or now.timestamp() - about.st_mtime <= grace_seconds:
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
        log.info("registry.leftover_purged", name=escaped(match["file"]), bytes=size)
    if failed is not None:
        raise failed
    return folders, freed

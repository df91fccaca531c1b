"""Applies a retention plan: retires models, and purges those that were in the trash long enough.

Owns the checks of this: each entry is planned again if the registry changed, a plan over the breaker's limits is
refused, and each model is retired by a committed journal line before its files move. Never decides which model to
retire: `plan` does.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..base.disk import Disk
from ..base.instants import parse_stored
from ..base.log import log
from ..base.units import format_duration
from ..config.retention import RetentionSection
from ..errors import StorageError
from ..problems import escaped
from ..registry.registry import ModelRegistry
from .outcomes import RetentionPlan, ToRetire, breakers_in_words, reason_of_rules
from .plan import plan

__all__ = ["Applied", "apply_retention", "plan_retention", "purge_leftovers", "purge_trash", "retire_held"]

_LEFTOVER = re.compile(r"(?P<file>.+)\.leftover-[0-9]+", re.ASCII)
_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of applying a plan. `retired` and `skipped` are model ids.

    A model was skipped if it was protected, kept by a rule, or gone when it was to be retired. `refused` is true if
    the breaker stopped the retirement of groups; nothing of these was done, and `plan.breakers` says why.
    """

    plan: RetentionPlan
    retired: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    refused: bool = False


def plan_retention(registry: ModelRegistry, section: RetentionSection, now: datetime) -> RetentionPlan:
    """Return the plan for the current registry, with its sequence number and epoch."""
    identity, sequence, entries = registry.stored_entries()
    return replace(plan(entries, section, now=now, sequence=sequence), identity=identity)


def apply_retention(
    registry: ModelRegistry,
    section: RetentionSection,
    now: datetime,
    *,
    planned: RetentionPlan | None = None,
    actor: str = "retention",
    override_breaker: bool = False,
) -> Applied:
    """Make a plan and retire its models, each with one commit.

    With `planned`, the plan that an operator saw, only its models are retired. If any process changed the registry
    meanwhile, the rules are applied again before the next commit: models that are kept or protected by then, and other
    models that have the id by then, are skipped. In dry-run mode nothing is done.

    Raises StorageError and RegistryError. After an error or a crash the models retired before stay retired, and the
    next run continues.
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
    to_retire = made.retire if override_breaker else made.allowed()
    refused = len(to_retire) < len(made.retire)
    if refused:
        groups, stopped = len(made.breakers), len(made.retire) - len(to_retire)
        log.error("retention.refused", problem=breakers_in_words(made), retire=stopped, groups=groups)
    retirement = _Retirement(registry, section, now, made)
    retired, skipped = [], []
    for item in to_retire:
        if not retirement.retire(item, actor):
            skipped.append(item.model_id)
            log.info("entry.spared", model_id=escaped(item.model_id), sequence=item.sequence)
            continue
        retired.append(item.model_id)
        told = {**dict(item.group), "model_id": item.model_id, "size_bytes": item.bytes, "sequence": item.sequence}
        _log_retired(told, list(item.reasons))
    return Applied(made, tuple(retired), tuple(skipped), refused)


class _Retirement:
    """Retires the models of a plan one by one, if the plan for the registry at that moment still retires them."""

    def __init__(self, registry: ModelRegistry, section: RetentionSection, now: datetime, made: RetentionPlan) -> None:
        self._registry = registry
        self._section = section
        self._now = now
        self._to_retire = {(item.model_id, item.sequence): item for item in made.retire}
        self._sequence, self._identity = made.sequence, made.identity

    def retire(self, item: ToRetire, actor: str) -> bool:
        """Retire the model. Return whether it was retired."""
        for _ in range(_ATTEMPTS_MAX):
            if self._registry.sequence != self._sequence or self._registry.identity != self._identity:
                # The registry changed: a pin, an alias, a tag, a drop, a deletion. Or the same sequence number means
                # another line, after a rebuild or with an older copy. Make the plan again.
                made = plan_retention(self._registry, self._section, self._now)
                self._to_retire = {(item.model_id, item.sequence): item for item in made.retire}
                self._sequence, self._identity = made.sequence, made.identity
            seen = self._to_retire.get((item.model_id, item.sequence))
            if seen is None:
                return False
            reason = reason_of_rules(seen.reasons)
            at = self._identity.at(self._sequence) if self._identity is not None else self._sequence
            if self._registry.delete_model(item.model_id, reason=reason, actor=actor, at=at, by_rule=True):
                # Our own line does not change the plan of the other models, because no rule kept this one. The line
                # may be the one that gave the registry its identity.
                self._sequence += 1
                self._identity = self._identity or self._registry.identity
                return True
        # Other processes write faster than we can plan. The next run tries again.
        return False


def retire_held(registry: ModelRegistry, keep_seconds: float, now: datetime, *, actor: str = "retention") -> list[str]:
    """Retire the models that have been held for more than `keep_seconds`, but for pinned ones. Return their ids.

    The rules of retention do not count these models. One that somebody unholds or pins meanwhile stays.
    """
    keep = timedelta(seconds=keep_seconds)
    reason = f"held for {format_duration(keep_seconds)} (registry.held_keep)"
    retired = []
    for entry in registry.stored_entries()[2]:
        if not _is_due(entry, keep, now):
            continue
        for _ in range(_ATTEMPTS_MAX):
            # If anything is committed after this, the model is looked at again.
            position = registry.position
            found = registry.get_model_info(entry["model_id"])
            if found is None or found.get("sequence") != entry.get("sequence") or not _is_due(found, keep, now):
                break
            if registry.delete_model(entry["model_id"], reason=reason, actor=actor, at=position, by_rule=True):
                retired.append(entry["model_id"])
                _log_retired(entry, [reason])
                break
    return retired


def _is_due(entry: Mapping[str, Any], keep: timedelta, now: datetime) -> bool:
    """Return whether a held model has been held for longer than that. One that a person pinned stays."""
    since = parse_stored(entry.get("held_since")) if entry.get("held") and not entry.get("pinned") else None
    return since is not None and now - since > keep


def _log_retired(entry: Mapping[str, Any], reasons: list[str]) -> None:
    log.info(
        "entry.retired",
        model_id=escaped(str(entry["model_id"])),
        currency_pair=entry.get("currency_pair"),
        model_type=entry.get("model_type"),
        variant=entry.get("variant") or None,
        reasons=reasons,
        bytes=entry.get("size_bytes"),
        sequence=entry.get("sequence"),
    )


def purge_trash(
    registry: ModelRegistry, grace_seconds: float, now: datetime, *, actor: str = "retention"
) -> tuple[int, int]:
    """Remove permanently the models retired more than `grace_seconds` ago. Return their number and the bytes freed.

    A model whose file a process has open stays until the next run. If a model cannot be removed, the others are still
    removed, and the first StorageError is raised at the end.
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
    """Remove permanently the files without an entry that were moved to the trash more than `grace_seconds` ago.

    They never belonged to a registered model, so the journal gets no line for them. Returns the number of folders and
    the bytes freed. If a folder cannot be removed, the others are still removed, and the first StorageError is raised
    at the end. A crash leaves a folder with fewer files, which the next run removes.
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
            # A symlink with such a name is not ours. Never follow it.
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

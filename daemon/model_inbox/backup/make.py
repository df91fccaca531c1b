"""Making a snapshot while the registry is in use.

Owns the order of the steps. Files are copied ahead, without any lock, round after round, until few are left. Then the
registry stands still for a moment: the position and the entries are taken, and the files that are left are opened. An
open file stays what it is, whatever name it loses, so it is copied after the writers have gone on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..base.disk import Disk, exists, write_new_file
from ..errors import ModelInboxError, RegistryMissing, StorageError
from ..problems import Problem
from ..problems.backup import backup_not_copied
from ..registry.checkpoint import CHECKPOINT_MODE, NO_FILE, Mark, checkpoint_bytes, fingerprint, mark_bytes
from ..registry.paths import RegistryFiles
from ..registry.segments import JOURNAL_MODE
from .copying import Copier, close_all
from .errors import BackupRefused
from .folder import FOLDER_MODE, BackupFolder, Snapshot
from .manifest import MANIFEST_NAME, MODELS_NAME, CopiedFile, Manifest, snapshot_name
from .manifest import Source as Like
from .source import Source, View

__all__ = ["Made", "make_backup"]

OPEN_MAX = 256
"""How many files the last round leaves to be opened while the registry stands still."""

ROUNDS_MAX = 8
"""After so many rounds all that is left is copied while the registry stands still."""

MANIFEST_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot that was made. `problems` are files that entries name and the registry itself does not have."""

    path: Path
    manifest: Manifest
    new_bytes: int
    problems: tuple[Problem, ...]


def make_backup(
    registry_path: Path,
    storage_dir: Path,
    target: Path,
    *,
    lock_timeout: float,
    clock: Callable[[], datetime],
    disk: Disk,
) -> Made:
    """Make a snapshot of a registry in the folder `target`, as of one position.

    Files that the snapshot before has are linked to it. Raises RegistryMissing, RegistryLocked (by a writer, or by
    another backup), StorageError, and BackupRefused for a target or a model file in a place where it cannot be.
    """
    registry_path, storage_dir, target = (Path(path).absolute() for path in (registry_path, storage_dir, target))
    files = RegistryFiles(registry_path)
    if not exists(files.journal):
        raise RegistryMissing(
            f"cannot back up the registry {str(registry_path)!r}: there is none",
            hint="`registry.path` in config.yaml says where it is",
        )
    if target.resolve().is_relative_to(registry_path.parent.resolve()):
        raise BackupRefused(
            f"cannot back up into {str(target)!r}: it is in the registry's own folder",
            hint="Give a folder elsewhere, best on another disk",
        )
    folder = BackupFolder(target, disk)
    with folder.locked():
        source = Source(registry_path, storage_dir, lock_timeout=lock_timeout, clock=clock, disk=disk)
        try:
            return _make(source, folder, clock(), disk)
        finally:
            source.close()


def _make(source: Source, folder: BackupFolder, now: datetime, disk: Disk) -> Made:
    previous = next((one for one in reversed(folder.snapshots()) if one.manifest is not None), None)
    name = snapshot_name(now)
    temporary = folder.temporary(name)
    try:
        made = _fill(source, temporary, previous, now, disk)
        path = folder.publish(temporary, name)
    except ModelInboxError:
        # The next backup removes what cannot be removed now.
        with suppress(StorageError):
            folder.discard(temporary)
        raise
    return Made(path, made.manifest, made.new_bytes, made.problems)


def _fill(source: Source, temporary: Path, previous: Snapshot | None, now: datetime, disk: Disk) -> Made:
    models, pool = temporary / MODELS_NAME, temporary / "pool"
    for path in (models, pool):
        try:
            disk.mkdir(path, FOLDER_MODE)
        except OSError as error:
            raise StorageError("make the folder", path, error) from error
    copier = Copier(models, pool, previous, disk)
    view, placed = _copy(source, copier)
    lacking = sorted(name for name, wanted in view.files.items() if name not in placed and not wanted.optional)
    for name, (digest, like) in placed.items():
        copier.place(name, digest, like)
    _write_registry(source, view, copier)
    copier.sync()
    manifest = Manifest(
        now,
        view.identity,
        view.sequence,
        len(view.entries),
        source.files.path.name,
        source.storage,
        copier.files,
        tuple(lacking),
    )
    write_new_file(disk, temporary / MANIFEST_NAME, manifest.encode(), MANIFEST_MODE)
    try:
        disk.fsync_dir(temporary)
    except OSError as error:
        raise StorageError("sync the folder", temporary, error) from error
    before = _digests(previous)
    new = {file.sha256: file.size for file in copier.files.values() if file.sha256 not in before}
    problems = tuple(backup_not_copied(name) for name in lacking)
    return Made(temporary, manifest, sum(new.values()), problems)


def _copy(source: Source, copier: Copier) -> tuple[View, dict[str, tuple[str, Like | None]]]:
    """Copy all files of one moment; return that moment, and the digest of each file that could be copied."""
    for left in reversed(range(ROUNDS_MAX)):
        with source.standing_still() as view:
            lacking = copier.lacking(view.files)
            if len(lacking) > OPEN_MAX and left == 0:
                copier.copy_ahead(lacking)
                lacking = copier.lacking(view.files)
            if len(lacking) <= OPEN_MAX or left == 0:
                opened = copier.open(dict(list(lacking.items())[:OPEN_MAX]))
                placed = copier.resolve(view.files, opened)
                break
        copier.copy_ahead(lacking)
    try:
        copier.copy_opened(opened)
        for name, fd in opened.items():
            digest, like = copier.digest_of_opened(fd)
            # Other bytes than the entry says are damage: `lacking` tells of them.
            if view.files[name].sha256 in (None, digest):
                placed[name] = digest, like
    finally:
        close_all(opened.values())
    return view, placed


def _write_registry(source: Source, view: View, copier: Copier) -> None:
    """Write the registry's own files: the journal up to the position, and a checkpoint of the position."""
    files = source.files
    data = checkpoint_bytes(view.entries)
    mark = mark_bytes(Mark(view.sequence, fingerprint(data), NO_FILE, view.identity))
    for path, text, mode in (
        (files.path, data, CHECKPOINT_MODE),
        (files.mark, mark, CHECKPOINT_MODE),
        (files.journal, view.journal, JOURNAL_MODE),
    ):
        copier.write(path.name, text, mode, hashlib.sha256(text).hexdigest())


def _digests(previous: Snapshot | None) -> set[str]:
    known: dict[str, CopiedFile] = dict(previous.manifest.files) if previous and previous.manifest else {}
    return {file.sha256 for file in known.values()}

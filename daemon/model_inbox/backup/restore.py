"""Restoring a registry from a snapshot into an empty folder, as a new epoch.

Owns the order of the steps. The journal comes last and is the commit: before it the folder has a mark without a
journal, which nobody opens and no writer takes for an empty place.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..base.copying import copy_open_file
from ..base.disk import Disk, make_folder, open_regular, read_bytes, replace_file, sync_files
from ..errors import StorageError
from ..registry.checkpoint import CHECKPOINT_MODE, NO_FILE, Mark, fingerprint, mark_bytes
from ..registry.journal import FORMAT, read_header
from ..registry.paths import RegistryFiles
from ..registry.position import Identity
from ..registry.segments import begin_segment
from .errors import BackupDamaged, BackupRefused
from .folder import FOLDER_MODE, Snapshot
from .manifest import CopiedFile, Manifest

__all__ = ["Restored", "restore"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. `registry` is the path of the registry's JSON file, `position` where it stands now."""

    registry: str
    position: str
    entries: int
    files: int
    size: int


def restore(snapshot: Snapshot, target: Path, disk: Disk) -> Restored:
    """Make the registry of a snapshot in the folder `target`, which must be empty or missing.

    It is the same registry in a new epoch, so that a follower of the old one notices. Every file is digested while
    it is copied. Raises BackupRefused, BackupDamaged and StorageError.
    """
    manifest = snapshot.sound()
    target = target.absolute()
    _refuse_full(target)
    make_folder(disk, target, FOLDER_MODE)
    files = RegistryFiles(target / manifest.registry)
    ours = {files.path.name, files.mark.name, files.journal.name}
    old = manifest.identity
    identity = old.next_epoch(disk.token) if old is not None else Identity.new(disk.token)
    data = _checked(snapshot, files.path.name, manifest)
    journal = _checked(snapshot, files.journal.name, manifest)
    header = read_header(journal)
    # From here on, until the journal is there, opening this folder is refused: a mark without its journal is damage.
    # A crash before it leaves an empty folder, or one with a temporary file.
    mark = Mark(manifest.sequence, fingerprint(data), NO_FILE, identity)
    replace_file(disk, files.mark, mark_bytes(mark), CHECKPOINT_MODE)
    copied = [_copy(snapshot, name, file, target, disk) for name, file in manifest.files.items() if name not in ours]
    sync_files(disk, copied)
    _sync_folders(copied, target, disk)
    replace_file(disk, files.path, data, CHECKPOINT_MODE)
    # The commit: a crash before this rename leaves a folder that is refused, after it a whole registry.
    begin_segment(
        disk,
        files.journal,
        identity,
        header.base_sequence,
        header.base_time,
        journal[header.end :],
        name=max(header.format, FORMAT),
    )
    position = str(identity.at(manifest.sequence))
    return Restored(str(files.path), position, manifest.entries, len(manifest.files), manifest.size)


def _refuse_full(target: Path) -> None:
    try:
        names = os.listdir(target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError("restore into", target, error) from error
    if names:
        raise BackupRefused(
            f"cannot restore into {str(target)!r}: it is not empty",
            hint="Give an empty folder. To replace a registry, stop the daemon and rename its folder first",
        )


def _checked(snapshot: Snapshot, name: str, manifest: Manifest) -> bytes:
    """Return the bytes of a file that the backup wrote by itself. Raises BackupDamaged."""
    path = snapshot.models / name
    file = manifest.files.get(name)
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise _damaged(path) from None
    if file is None or hashlib.sha256(data).hexdigest() != file.sha256:
        raise _damaged(path)
    return data


def _copy(snapshot: Snapshot, name: str, file: CopiedFile, target: Path, disk: Disk) -> Path:
    source, copy = snapshot.models / name, target / name
    make_folder(disk, copy.parent, FOLDER_MODE)
    try:
        fd = open_regular(source)
    except OSError:
        raise _damaged(source) from None
    try:
        digest, _ = copy_open_file(disk, fd, copy, os.fstat(fd).st_mode & 0o777, sync=False)
    finally:
        os.close(fd)
    if digest != file.sha256:
        raise _damaged(source)
    return copy


def _sync_folders(copied: list[Path], target: Path, disk: Disk) -> None:
    folders = {parent for path in copied for parent in path.parents if parent.is_relative_to(target)}
    try:
        for folder in sorted(folders, reverse=True):
            disk.fsync_dir(folder)
    except OSError as error:
        raise StorageError("restore into", target, error) from error


def _damaged(path: Path) -> BackupDamaged:
    return BackupDamaged(
        f"cannot restore {str(path)!r}: it is missing, or not what was written there",
        hint="`model-inbox backup verify` shows which snapshots are good; empty the target before the next restore",
    )

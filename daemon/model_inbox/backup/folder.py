"""The folder that holds snapshots.

Owns the names in it: snapshots, temporary names of snapshots that are being made or removed, and the lock. A snapshot
appears by one rename and goes by one rename: whatever a crash leaves has a temporary name, and the next backup removes
that. Never looks into the registry that is backed up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..base.disk import Disk, is_temporary, make_folder, read_bytes, temporary_name
from ..base.flocks import FileLock
from ..errors import StorageError
from ..problems import quoted
from .errors import BackupDamaged, BackupRefused
from .manifest import MANIFEST_NAME, MODELS_NAME, Manifest, snapshot_time

__all__ = ["BackupFolder", "Snapshot"]

LOCK_NAME = ".backup.lock"
FOLDER_MODE = 0o750


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot in its folder. `damage` says why its manifest cannot be read; `manifest` is None then."""

    path: Path
    manifest: Manifest | None
    damage: BackupDamaged | None = None

    @property
    def name(self) -> str:
        """Its name, which says when it was made."""
        return self.path.name

    @property
    def models(self) -> Path:
        """The folder that is the registry's folder."""
        return self.path / MODELS_NAME

    def sound(self) -> Manifest:
        """Return the manifest. Raises BackupDamaged."""
        if self.manifest is None:
            raise self.damage if self.damage is not None else BackupDamaged(f"cannot use {str(self.path)!r}")
        return self.manifest


class BackupFolder:
    """The snapshots in one folder. Only the holder of `locked` changes anything there."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder if it is missing, and keep other backups out. Removes what a crash left.

        Raises StorageError, and RegistryLocked when another backup is at work there.
        """
        make_folder(self._disk, self.path, FOLDER_MODE)
        lock = FileLock(self.path / LOCK_NAME, "backup's")
        lock.acquire(0)
        try:
            for name in self._names():
                if is_temporary(name):
                    self._erase(self.path / name)
            yield
        finally:
            lock.close()

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshots, oldest first. A folder that does not exist has none. Raises StorageError."""
        return [self._snapshot(name) for name in sorted(self._names()) if snapshot_time(name) is not None]

    def snapshot(self, name: str | None) -> Snapshot:
        """Return the snapshot of that name, or the newest. Raises BackupRefused when there is none."""
        found = self.snapshots()
        named = [one for one in found if name in (None, one.name)]
        if not named:
            what = f"no snapshot {quoted(name)}" if name is not None else "no snapshot"
            raise BackupRefused(
                f"cannot use the backup in {str(self.path)!r}: there is {what}",
                hint="`model-inbox backup list DIR` shows what is there",
            )
        return named[-1]

    def temporary(self, name: str) -> Path:
        """Make and return a folder with a temporary name, which `publish` renames. Raises StorageError."""
        path = temporary_name(self._disk, self.path / name)
        try:
            self._disk.mkdir(path, FOLDER_MODE)
        except OSError as error:
            raise StorageError("make the folder", path, error) from error
        return path

    def publish(self, temporary: Path, name: str) -> Path:
        """Give a complete and durable snapshot its name. Raises StorageError.

        A crash before the rename leaves a temporary name; between the rename and the sync, one or the other; after the
        sync the snapshot stays.
        """
        path = self.path / name
        try:
            self._disk.rename_new(temporary, path)
            self._disk.fsync_dir(self.path)
        except OSError as error:
            raise StorageError("make the snapshot", path, error) from error
        return path

    def remove(self, snapshot: Snapshot) -> None:
        """Remove a snapshot. Files that other snapshots have too stay there. Raises StorageError.

        A crash before the rename leaves the snapshot whole; after it, a temporary name that the next backup removes.
        The sync between the two keeps a power cut from bringing back the name of a snapshot that lacks files.
        """
        temporary = temporary_name(self._disk, snapshot.path)
        try:
            self._disk.rename(snapshot.path, temporary)
            self._disk.fsync_dir(self.path)
        except OSError as error:
            raise StorageError("remove the snapshot", snapshot.path, error) from error
        self._erase(temporary)

    def discard(self, temporary: Path) -> None:
        """Remove a folder that `temporary` made. Raises StorageError."""
        self._erase(temporary)

    def _names(self) -> list[str]:
        try:
            return self._disk.names(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError("list", self.path, error) from error

    def _snapshot(self, name: str) -> Snapshot:
        path = self.path / name
        manifest = path / MANIFEST_NAME
        try:
            return Snapshot(path, Manifest.decode(read_bytes(manifest), manifest))
        except FileNotFoundError:
            return Snapshot(path, None, BackupDamaged(f"cannot use {str(path)!r}: it has no {MANIFEST_NAME}"))
        except BackupDamaged as error:
            return Snapshot(path, None, error)

    def _erase(self, path: Path) -> None:
        """Remove a folder with all in it. Never follows a symlink."""
        try:
            if not stat.S_ISDIR(self._disk.lstat(path).st_mode):
                self._disk.unlink(path)
                return
            for folder, folders, files in os.walk(path, topdown=False):
                for name in files:
                    self._disk.unlink(Path(folder, name))
                for name in folders:
                    inner = Path(folder, name)
                    if inner.is_symlink():
                        self._disk.unlink(inner)
                    else:
                        self._disk.rmdir(inner)
            self._disk.rmdir(path)
        except OSError as error:
            raise StorageError("remove", path, error) from error

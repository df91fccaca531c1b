"""The stored files of models: staging, final names, trash.

Owns the folders `<storage_dir>`, `<storage_dir>/.staging` and `.trash` beside the registry, and which file of a
model has which name. Never reads or writes the journal: `registry` calls it in the order that makes a crash
harmless (files before the line when a model comes, the line before the files when it goes).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import StorageError
from .fsio import Disk, digest_open_file, make_folder, move_file, open_regular, remove_quietly

__all__ = ["STORED_MODE", "StagedFiles", "Storage", "trash_name"]

STORED_MODE = 0o440
FOLDER_MODE = 0o750


@dataclass(frozen=True, slots=True)
class StagedFiles:
    """Files of ours in the staging folder, synced, on their way to their final names.

    Digests are SHA-256 in hex. `sidecar` is None only for a model without one.
    """

    model: Path
    sha256: str
    model_bytes: int
    scaler: Path | None = None
    scaler_sha256: str | None = None
    scaler_bytes: int = 0
    sidecar: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All staged files."""
        return tuple(path for path in (self.model, self.scaler, self.sidecar) if path is not None)


def trash_name(model_id: str, sequence: int) -> str:
    """Return the name of the folder in the trash that holds the model registered as `sequence`."""
    return f"{model_id}.{sequence}"


class Storage:
    """The folders of one registry. Every method that changes names is called under the writer lock."""

    def __init__(self, registry_folder: Path, storage_dir: Path, disk: Disk) -> None:
        self.folder = registry_folder
        self.storage_dir = storage_dir
        self.staging_dir = storage_dir / ".staging"
        self.trash_dir = registry_folder / ".trash"
        self.disk = disk

    def make_folders(self) -> None:
        """Make what is missing. Raises StorageError."""
        for folder in (self.folder, self.storage_dir, self.trash_dir):
            make_folder(self.disk, folder, FOLDER_MODE)
        make_folder(self.disk, self.staging_dir, 0o700)

    def stored_path(self, path: Path) -> str:
        """Return a path as an entry stores it: relative to the registry's folder where it stands below it."""
        try:
            return str(path.relative_to(self.folder))
        except ValueError:
            return str(path)

    def final_names(self, model_id: str) -> tuple[Path, Path, Path]:
        """Return where the model, its scaler and its sidecar go."""
        return (
            self.storage_dir / f"{model_id}.pkl",
            self.storage_dir / f"{model_id}_scaler.pkl",
            self.storage_dir / f"{model_id}.yaml",
        )

    def place(self, model_id: str, staged: StagedFiles) -> None:
        """Link staged files to their final names; the caller syncs the folder once for all of a batch.

        A crash from here to the journal line leaves names without an entry: leftovers, which the next
        registration of the same id uses (same bytes) or moves to the trash. Nothing is ever overwritten.
        """
        model, scaler, sidecar = self.final_names(model_id)
        wanted = {model: staged.model, scaler: staged.scaler, sidecar: staged.sidecar}
        for final, source in wanted.items():
            if source is None:
                # An entry without a scaler must not stand beside a file that looks like its scaler.
                if final.is_symlink() or final.exists():
                    self.set_aside(final)
                continue
            try:
                self._link(source, final)
            except StorageError as error:
                if error.errno != errno.EEXIST:
                    raise
                if not _same_bytes(source, final):
                    self.set_aside(final)
                    self._link(source, final)

    def unstage(self, staged: StagedFiles) -> None:
        """Remove the staging names; unsynced, since a start removes what a crash leaves there."""
        for path in staged.paths:
            remove_quietly(self.disk, path)

    def sync_names(self) -> None:
        """Make the names in the storage folder last. Before this a crash may forget a placed file."""
        try:
            self.disk.fsync_dir(self.storage_dir)
        except OSError as error:
            raise StorageError("sync the folder", self.storage_dir, error) from error

    def set_aside(self, path: Path) -> Path:
        """Move a leftover without an entry into the trash under a free name and return where it went."""
        for number in range(1, 10_000):
            folder = self.trash_dir / f"{path.name}.leftover-{number}"
            try:
                self.disk.mkdir(folder, 0o750)
            except FileExistsError:
                continue
            except OSError as error:
                raise StorageError("make the folder", folder, error) from error
            move_file(self.disk, path, folder / path.name)
            self._sync(folder, self.trash_dir, path.parent)
            return folder / path.name
        raise StorageError("set aside", path, FileExistsError(errno.EEXIST, "too many leftovers of that name"))

    def files_of(self, entry: Mapping[str, Any]) -> list[Path]:
        """Return the final names that an entry stands for: model, scaler if it has one, sidecar."""
        paths = [self.folder / str(entry[name]) for name in ("model_path", "scaler_path") if entry.get(name)]
        return [*paths, self.final_names(str(entry["model_id"]))[2]]

    def trash_folder(self, entry: Mapping[str, Any]) -> Path:
        """Return the folder in the trash that a retired entry's files go to."""
        return self.trash_dir / trash_name(str(entry["model_id"]), int(entry.get("sequence") or 0))

    def discard(self, entry: Mapping[str, Any]) -> Path:
        """Move the files of a retired entry to the trash; what is there or missing already is passed over.

        Called after the journal line. A crash half-way leaves some files at their final names without an
        entry; the next start does this again.
        """
        folder = self.trash_folder(entry)
        make_folder(self.disk, folder, 0o750)
        for path in self.files_of(entry):
            self._move_over(path, folder / path.name)
        self._sync(folder, self.trash_dir, self.storage_dir)
        return folder

    def discard_file(self, entry: Mapping[str, Any], path: Path, name: str) -> None:
        """Move one file that an entry no longer names (a replaced scaler) into the entry's trash folder."""
        folder = self.trash_folder(entry)
        make_folder(self.disk, folder, 0o750)
        self._move_over(path, folder / name)
        self._sync(folder, self.trash_dir, path.parent)

    def bring_back(self, entry: Mapping[str, Any]) -> None:
        """Move the files of a retired entry back to their final names. Called before the journal line.

        A crash leaves names without an entry: leftovers with the retired model's bytes, which a second
        restore finds in place. Raises StorageError (ENOENT) when the model's file is nowhere.
        """
        folder = self.trash_folder(entry)
        names = self.files_of(entry)
        for path in names:
            held = folder / path.name
            if held.exists():
                if path.exists() and not _same_bytes(held, path):
                    self.set_aside(path)
                self._move_over(held, path)
        for path in names[:-1]:
            if not path.exists():
                raise StorageError("restore", path, FileNotFoundError(errno.ENOENT, "not in the trash"))
        self._sync(self.storage_dir)
        with suppress(OSError):
            self.disk.rmdir(folder)

    def erase(self, folder: Path) -> int:
        """Remove a folder of the trash with its files for good and return the bytes freed."""
        freed = 0
        try:
            for name in sorted(os.listdir(folder)):
                path = folder / name
                freed += path.lstat().st_size
                self.disk.unlink(path)
            self.disk.rmdir(folder)
            self.disk.fsync_dir(self.trash_dir)
        except FileNotFoundError:
            return freed
        except OSError as error:
            raise StorageError("purge", folder, error) from error
        return freed

    def _link(self, source: Path, final: Path) -> None:
        try:
            self.disk.link(source, final)
        except OSError as error:
            raise StorageError("place", final, error) from error

    def _move_over(self, source: Path, target: Path) -> None:
        """Move a file; one that is gone, or that stands at the target with the same bytes, is done already."""
        try:
            move_file(self.disk, source, target)
        except StorageError as error:
            if error.errno == errno.ENOENT:
                return
            if error.errno != errno.EEXIST or not _same_bytes(source, target):
                raise
            self.disk.unlink(source)

    def _sync(self, *folders: Path) -> None:
        for folder in dict.fromkeys(folders):
            try:
                self.disk.fsync_dir(folder)
            except OSError as error:
                raise StorageError("sync the folder", folder, error) from error


def _same_bytes(one: Path, other: Path) -> bool:
    """Tell whether two paths are one inode or hold the same bytes; False when either cannot be read."""
    opened: list[int] = []
    try:
        opened.append(open_regular(one))
        opened.append(open_regular(other))
        first, second = (os.fstat(fd) for fd in opened)
        if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
            return True
        return first.st_size == second.st_size and digest_open_file(opened[0]) == digest_open_file(opened[1])
    except OSError:
        return False
    finally:
        for fd in opened:
            os.close(fd)


def staged_paths(staging: Path, token: str) -> Sequence[Path]:
    """Return the names in the staging folder for a model, its scaler and its sidecar."""
    return staging / f"{token}.pkl", staging / f"{token}_scaler.pkl", staging / f"{token}.yaml"

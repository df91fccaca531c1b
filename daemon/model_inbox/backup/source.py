"""The registry that is backed up, at one position.

Owns what a backup takes from it: entries, journal and the files to copy, all of one moment under the writer lock. It
only reads, but for what a writer that died left half done after its line: that is finished, as by any other writer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ..base.disk import Disk, is_mounted_read_only
from ..base.flocks import FileLock
from ..errors import StorageError
from ..problems import quoted
from ..registry.entry import EntryFields
from ..registry.files import Storage
from ..registry.kept_rules import rules_files
from ..registry.label_files import LabelFiles
from ..registry.paths import RegistryFiles
from ..registry.position import Identity
from ..registry.segments import base_files, history_segments
from ..registry.store import Store
from ..registry.trash import Trash
from .errors import BackupRefused

__all__ = ["Source", "View", "Wanted"]


class Wanted(NamedTuple):
    """A file to copy: where it is now, and its digest if an entry says that. An optional one may be missing."""

    path: Path
    sha256: str | None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """The registry at one position. `files` are by their paths below the registry's folder.

    `journal` are the bytes of the current segment up to that position. Entries must not be changed.
    """

    identity: Identity | None
    sequence: int
    entries: dict[str, EntryFields]
    journal: bytes
    files: dict[str, Wanted]


class Source:
    """One registry, opened as a writer. Close it."""

    def __init__(
        self,
        registry_path: Path,
        storage_dir: Path,
        *,
        lock_timeout: float,
        clock: Callable[[], datetime],
        disk: Disk,
    ) -> None:
        self.files = RegistryFiles(registry_path)
        self.folder = registry_path.parent
        self._storage = Storage(self.folder, storage_dir, disk)
        self.storage = self._below(storage_dir)
        self._lock_timeout = lock_timeout
        self._is_frozen = is_mounted_read_only(self.folder)
        """Whether nothing can be changed here, as on a disk that the kernel mounted read-only after an error."""
        self._store = Store(registry_path, read_only=self._is_frozen, lock_timeout=lock_timeout, clock=clock, disk=disk)
        self._label_files = LabelFiles(self._store, self._storage)
        self._trash = Trash(self._store, self._storage, self._label_files)

    def close(self) -> None:
        """Close the registry's files."""
        self._store.close()

    @contextmanager
    def standing_still(self) -> Iterator[View]:
        """Hold the writer lock and return what is there. Writers wait meanwhile.

        Raises RegistryLocked, RegistryError, StorageError, and BackupRefused for files outside the registry's folder.
        """
        with self._still():
            state, journal = self._store.state, self._store.journal
            entries = dict(state.entries)
            yield View(
                state.identity, state.sequence, entries, self._journal_bytes(), self._wanted(entries, journal.inode)
            )

    @contextmanager
    def _still(self) -> Iterator[None]:
        """Keep writers out, with everything finished that one of them left. On a read-only mount it stays as it is."""
        if self._is_frozen:
            lock = FileLock(self.files.writer_lock, "registry writer's", only_reads=True)
            try:
                # Other mounts of the same file system may be writable.
                lock.acquire(self._lock_timeout)
                self._store.look_at_path()
                yield
            finally:
                lock.close()
            return
        with self._store.writing():
            self._label_files.write()
            for model_id in list(self._store.unfinished.moves):
                self._trash.finish(model_id)
            # A backup must not hold what a power cut could still take from the registry.
            self._store.sync()
            yield

    def _journal_bytes(self) -> bytes:
        journal = self._store.journal
        try:
            data = os.pread(journal.fd, journal.offset, 0)
            while len(data) < journal.offset and (more := os.pread(journal.fd, journal.offset - len(data), len(data))):
                data += more
        except OSError as error:
            raise StorageError("read the journal", journal.path, error) from error
        return data

    def _wanted(self, entries: dict[str, EntryFields], current: int) -> dict[str, Wanted]:
        """Return the history, the files that entries name, and the trash."""
        files: dict[str, Wanted] = {}
        history = self.files.history
        for path in (*history_segments(history), *base_files(history), *rules_files(history)):
            # A crash can leave the current segment in the history, too. It grows, and the journal has all of it.
            if path.lstat().st_ino != current:
                files[self._below(path)] = Wanted(path, None)
        for entry in entries.values():
            for problem in self._storage.outside(entry):
                what = f"cannot back up the files of {quoted(entry['model_id'])}: {problem.message}"
                raise BackupRefused(what, hint=problem.hint)
            for path, digest in self._storage.needed_files_of(entry).items():
                files[self._below(path)] = Wanted(path, digest)
            for path in self._storage.files_of(entry):
                # What is left is the sidecar. An adopted entry has none.
                files.setdefault(self._below(path), Wanted(path, None, optional=True))
        for folder in self._folders(self._storage.trash_dir):
            for name in sorted(os.listdir(folder)):
                files[self._below(folder / name)] = Wanted(folder / name, None)
        return files

    def _folders(self, trash: Path) -> list[Path]:
        try:
            return [path for path in sorted(trash.iterdir()) if path.is_dir() and not path.is_symlink()]
        except FileNotFoundError:
            return []

    def _below(self, path: Path) -> str:
        """Return a path below the registry's folder. Raises BackupRefused for one that is not there."""
        try:
            return str(Path(os.path.normpath(path)).relative_to(self.folder))
        except ValueError:
            raise BackupRefused(
                f"cannot back up {str(path)!r}: it is not in the registry's folder {str(self.folder)!r}",
                hint="Only a registry with its models below its own folder can be backed up: see registry.storage_dir",
            ) from None

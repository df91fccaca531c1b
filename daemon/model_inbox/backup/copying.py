"""Copying the files of a snapshot: each is read at most once, digested while it is copied, and synced with the others.

Owns which bytes the snapshot has already, from the snapshot before it or from an earlier round. Files are known by
their digest, and files of the registry whose digest no entry says by inode, size and time of the last write.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ..base.copying import copy_open_file
from ..base.disk import Disk, content_of, make_folder, open_regular, sync_files, write_new_file
from ..errors import StorageError
from .folder import FOLDER_MODE, Snapshot
from .manifest import CopiedFile, Source
from .source import Wanted

__all__ = ["Copier", "Opened"]

_MODES = 0o777
_GONE = (errno.ENOENT, errno.ENOTDIR)
_NOT_REGULAR = (errno.ELOOP, errno.EINVAL)

Opened = Mapping[str, int]
"""Open files of the registry, by their paths in the snapshot."""


class Copier:
    """Fills the folder `models` of one snapshot. `pool` is a folder of its own beside it, for files without a place."""

    def __init__(self, models: Path, pool: Path, previous: Snapshot | None, disk: Disk) -> None:
        self._models = models
        self._pool = pool
        self._disk = disk
        self._copied: dict[str, tuple[Path, int]] = {}
        """By digest: a durable copy of ours, or one that is synced with the others, and its size."""
        self._known: dict[Source, str] = {}
        """By what a file of the registry is like: the digest of its bytes."""
        self._written: list[Path] = []
        self._count = 0
        self.files: dict[str, CopiedFile] = {}
        """What the snapshot holds so far, by paths below `models`."""
        if previous is not None and previous.manifest is not None:
            self._take_over(previous)

    def _take_over(self, previous: Snapshot) -> None:
        """Take files of the snapshot before as copied, if they have the size that they were written with."""
        assert previous.manifest is not None  # noqa: S101  # the caller has looked
        for name, file in previous.manifest.files.items():
            path = previous.models / name
            with suppress(OSError):
                if file.source is not None and self._disk.lstat(path).st_size == file.size:
                    self._copied[file.sha256] = path, file.size
                    self._known[file.source] = file.sha256

    # --- copying ----------------------------------------------------------------------------------------------

    def lacking(self, files: Mapping[str, Wanted]) -> dict[str, Wanted]:
        """Return those files of which no copy is known. An optional one that does not exist is not among them."""
        return {
            name: wanted
            for name, wanted in files.items()
            if self._digest_of(wanted) is None and not (wanted.optional and not self._disk.exists(wanted.path))
        }

    def open(self, files: Mapping[str, Wanted]) -> dict[str, int]:
        """Open files of the registry; those that are missing or no regular files are left out. Raises StorageError."""
        opened: dict[str, int] = {}
        try:
            for name, wanted in files.items():
                fd = self._open(wanted.path)
                if fd is not None:
                    opened[name] = fd
        except BaseException:
            close_all(opened.values())
            raise
        return opened

    def copy_opened(self, opened: Opened) -> None:
        """Copy files that were opened, wherever they are by now. Raises StorageError."""
        for fd in opened.values():
            self._copy(fd)

    def copy_ahead(self, files: Mapping[str, Wanted]) -> None:
        """Copy files that may move meanwhile: those that are gone are passed over. Raises StorageError."""
        for wanted in files.values():
            fd = self._open(wanted.path)
            if fd is not None:
                try:
                    self._copy(fd)
                finally:
                    os.close(fd)

    def _open(self, path: Path) -> int | None:
        try:
            return open_regular(path)
        except OSError as error:
            if error.errno in (*_GONE, *_NOT_REGULAR):
                return None
            raise StorageError("read", path, error) from error

    def _copy(self, fd: int) -> None:
        """Copy an open file into the pool; its bytes do not change, so what it is like stands for them."""
        found = os.fstat(fd)
        self._count += 1
        target = self._pool / f"{self._count}"
        digest, size = copy_open_file(self._disk, fd, target, found.st_mode & _MODES, sync=False)
        self._known[content_of(found)] = digest
        if digest in self._copied:
            self._unlink(target)
        else:
            self._copied[digest] = target, size
            self._written.append(target)

    def _digest_of(self, wanted: Wanted) -> str | None:
        """Return the digest of a file that is copied already, None for one that is not."""
        if wanted.sha256 is not None:
            return wanted.sha256 if wanted.sha256 in self._copied else None
        try:
            digest = self._known.get(content_of(self._disk.lstat(wanted.path)))
        except OSError:
            return None
        return digest if digest in self._copied else None

    # --- filling ----------------------------------------------------------------------------------------------

    def resolve(self, files: Mapping[str, Wanted], opened: Opened) -> dict[str, tuple[str, Source | None]]:
        """Return the digest that each file is to have, with what it was like; without those that nobody can copy.

        While the registry stands still; `opened` are the files that are copied after that, and are left out here.
        """
        found: dict[str, tuple[str, Source | None]] = {}
        for name, wanted in files.items():
            digest = self._digest_of(wanted)
            if digest is not None and name not in opened:
                found[name] = digest, self._like(wanted.path)
        return found

    def _like(self, path: Path) -> Source | None:
        try:
            return content_of(self._disk.lstat(path))
        except OSError:
            return None

    def digest_of_opened(self, fd: int) -> tuple[str, Source]:
        """Return the digest of an open file that `copy_opened` has copied, and what it is like."""
        source = content_of(os.fstat(fd))
        return self._known[source], source

    def place(self, name: str, digest: str, source: Source | None) -> None:
        """Give a copy its name in the snapshot. Raises StorageError.

        A hard link inside the backup; a copy of the copy where the file system has none, or no more of that file.
        """
        held, size = self._copied[digest]
        target = self._models / name
        make_folder(self._disk, target.parent, FOLDER_MODE)
        try:
            self._disk.link(held, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
                raise StorageError("make the snapshot of", target, error) from error
            self._copy_again(held, target, digest)
        # A copy of a file that the registry has no more is like no file that there can be.
        self.files[name] = CopiedFile(size, digest, source if source is not None else (0, 0, 0))

    def _copy_again(self, held: Path, target: Path, digest: str) -> None:
        fd = open_regular(held)
        try:
            again, _ = copy_open_file(self._disk, fd, target, os.fstat(fd).st_mode & _MODES, sync=False)
        finally:
            os.close(fd)
        if again != digest:
            raise StorageError("copy", held, OSError(errno.EIO, "its bytes are not those that were written there"))
        self._written.append(target)

    def write(self, name: str, data: bytes, mode: int, digest: str) -> None:
        """Write a file of the snapshot that is not a copy. Raises StorageError."""
        target = self._models / name
        make_folder(self._disk, target.parent, FOLDER_MODE)
        write_new_file(self._disk, target, data, mode, sync=False)
        self._written.append(target)
        self.files[name] = CopiedFile(len(data), digest, None)

    def sync(self) -> None:
        """Make the bytes of all files and the names in all folders of the snapshot durable. Raises StorageError."""
        sync_files(self._disk, self._written)
        self._empty_pool()
        folders = {self._models, *(parent for name in self.files for parent in (self._models / name).parents)}
        ours = sorted((folder for folder in folders if folder.is_relative_to(self._models)), reverse=True)
        try:
            for folder in ours:
                self._disk.fsync_dir(folder)
        except OSError as error:
            raise StorageError("sync the folder", self._models, error) from error

    def _empty_pool(self) -> None:
        for path in self._written:
            if path.parent == self._pool:
                self._unlink(path)
        try:
            self._disk.rmdir(self._pool)
        except OSError as error:
            raise StorageError("remove", self._pool, error) from error

    def _unlink(self, path: Path) -> None:
        try:
            self._disk.unlink(path)
        except OSError as error:
            raise StorageError("remove", path, error) from error


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)

"""The one place that changes the disk durably: it writes, syncs, links, renames, copies and removes.

Owns `Disk`, whose changing methods are single steps (a crash can fall before or after each, and within a write), and
the few compounds built from them. Its looking methods change nothing; who asks for times, or may be refused, asks them
and not the system. Never decides anything: the caller says what goes where. Everything else in the package only reads.
Tests pass a Disk of their own that counts the steps and stops at one of them, or that tells times of its own.

A producer's side runs on macOS and Windows, too: what only Linux has is imported and looked up when it is used, and
the flags and calls that other systems lack are left out there. The daemon needs Linux.

What is assumed of the medium: rename and link are atomic within a file system, fsync of a file makes its bytes
last and fsync of a folder its names, and an append that was cut short leaves a prefix of itself.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from ..errors import StorageError

__all__ = [
    "Disk",
    "Hash",
    "PacedDisk",
    "Sync",
    "content_of",
    "copy_open_file",
    "digest_open_file",
    "exists",
    "inode_of",
    "is_temporary",
    "make_folder",
    "move_file",
    "open_and_stat",
    "open_regular",
    "read_bytes",
    "read_open_file",
    "read_regular",
    "remove_quietly",
    "replace_file",
    "start_writing_back",
    "sync_files",
    "temporary_name",
    "write_new_file",
]

COPY_CHUNK_BYTES = 1 << 20
DIGEST_CHUNK_BYTES = 1 << 18  # what hashlib.file_digest reads at a time, too: it stays in the processor's cache
FLUSH_BYTES = 64 << 20  # what a slow disk writes in seconds, so that the watchdog need not wait for more
_FLUSH = 7  # sync_file_range(2): begin to write, and wait for it
SYNC_TOGETHER_FILES = 16
_FICLONE = 0x40049409  # ioctl of linux/fs.h: share the blocks of another file
_RENAME_NOREPLACE = 1  # flag of renameat2(2)
_SYNC_FILE_RANGE_WRITE = 2  # of sync_file_range(2)
_AT_FDCWD = -100
_buffers = threading.local()
# Flags of open(2) that are not on every system, and count as nothing where they are not. Windows alone has a text mode.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)


class Hash(Protocol):
    """What `hashlib` returns, as far as it is used here."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def _nothing() -> None:
    """No-op progress callback."""


@functools.cache
def _libc() -> Any:
    """Return the C library, for the system calls that Python does not wrap."""
    return ctypes.CDLL(None, use_errno=True)


def _last_error(*paths: str) -> OSError:
    """Return the error of the call to the C library that failed last in this thread."""
    code = ctypes.get_errno()
    source, target = paths or (None, None)
    return OSError(code, os.strerror(code), source, None, target)


@contextmanager
def _storage(operation: str, path: object) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what was being done to which path."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(operation, path, error) from error


class Disk:
    """The single steps. Every method either does its step whole or raises the OSError of the system call."""

    def create(self, path: Path, mode: int) -> int:
        """Make a new file, never an existing one nor through a link, and return its descriptor."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | _BINARY, 0o600)
        try:
            # The umask does not decide who may read a model. Windows knows no modes.
            if hasattr(os, "fchmod"):
                os.fchmod(fd, mode)
        except OSError:
            os.close(fd)
            raise
        return fd

    def open_append(self, path: Path) -> int:
        """Open an existing file so that each write lands at its end."""
        return os.open(path, os.O_RDWR | os.O_APPEND | _NOFOLLOW | _CLOEXEC)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        """Write all of `data`; on an error a prefix of it may be there."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def clone(self, source: int, target: int) -> None:
        """Let `target` share the blocks of `source` (a reflink); an OSError where the file system cannot."""
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(fd, size)

    def touch(self, fd: int) -> None:
        """Set the file's times to now; of no account after a crash."""
        os.utime(fd)

    def fsync(self, fd: int) -> None:
        """Make the file's bytes last."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor that this disk gave out."""
        os.close(fd)

    def chmod(self, file: int | Path, mode: int) -> None:
        """Set the mode of a file that we own: an open one, or one in a folder that nobody else can change."""
        os.chmod(file, mode)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; FileExistsError when the name is taken, so nothing is overwritten."""
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: Path, target: Path) -> None:
        """Rename over whatever stands at `target`."""
        os.rename(source, target)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename, but raise FileExistsError rather than replace what stands at `target`.

        That is renameat2(2) on Linux, and what rename does on Windows. Elsewhere, and on a file system without the
        flag, it is a link, which refuses a taken name, and the removal of the old name: a crash between the two leaves
        both names on one inode, which every caller can meet again and finish.
        """
        if os.name == "nt":
            os.rename(source, target)
            return
        try:
            rename = _libc().renameat2
        except AttributeError:
            pass
        else:
            if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
                return
            error = _last_error(str(source), str(target))
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise error
        os.link(source, target, follow_symlinks=False)
        os.unlink(source)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)

    def mkdir(self, path: Path, mode: int) -> None:
        """Make a folder; FileExistsError when there is one.

        Who may read what lies in it is the umask's affair, and the group its parent's (setgid); only special
        bits are set apart, where a hardened service is let.
        """
        os.mkdir(path, mode & 0o777)
        if mode & 0o7000:
            with suppress(PermissionError):
                os.chmod(path, mode)

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def syncfs(self, fd: int) -> None:
        """Make everything last that the file system of the open file holds, whoever wrote it."""
        if _libc().syncfs(fd) != 0:
            raise _last_error()

    def syncfs_aside(self, fd: int) -> Callable[[], None]:
        """Begin to make everything last that the file system of the open file holds; what is returned waits for the end
        of that, and raises its OSError.
        """
        self.syncfs(fd)
        return _nothing

    def fsync_dir(self, path: Path) -> None:
        """Make the names in a folder last. Windows gives no way to ask for that; the names come with time there."""
        if os.name == "nt":
            return
        fd = os.open(path, os.O_RDONLY | _DIRECTORY | _CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # --- looking: no step, nothing for a crash to fall between ------------------------------------------------

    def scan(self, folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Return the entries of a folder, to be used in a `with` block."""
        return os.scandir(folder)

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, in no order."""
        return os.listdir(folder)

    def exists(self, path: Path) -> bool:
        """Return whether there is something at a path; a link that leads nowhere is something."""
        return os.path.lexists(path)

    def lstat(self, path: Path) -> os.stat_result:
        """Return the status of what is at a path, of a link its own."""
        return os.lstat(path)

    def fstat(self, fd: int) -> os.stat_result:
        """Return the status of an open file."""
        return os.fstat(fd)

    def open_read(self, path: Path | str) -> tuple[int, os.stat_result]:
        """Open a regular file for reading as `open_and_stat` does; return its status, too. The caller closes it."""
        return open_and_stat(path)

    def token(self) -> str:
        """Return text for a name that no process uses, ever: random, 16 hexadecimal digits.

        Process numbers would not do: in a container each run has the same one, and what a crash left under a name
        would stand in the way of the next run.
        """
        return os.urandom(8).hex()


class PacedDisk(Disk):
    """A disk whose slower steps tell that work goes on: each is a piece of it. One of them can go on beside others."""

    def __init__(self, progress: Callable[[], None]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._progress = progress
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="syncing")

    def fsync(self, fd: int) -> None:
        """Make the file's bytes last: of a large file piece by piece first, so that the sync has little left to do."""
        size = os.fstat(fd).st_size
        for start in range(0, size if size > FLUSH_BYTES else 0, FLUSH_BYTES):
            if _sync_file_range(fd, start, FLUSH_BYTES, _FLUSH) != 0:
                error = _last_error()
                if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EPERM, errno.EOPNOTSUPP):
                    raise error  # the sync itself might not tell of it a second time
                break
            self._progress()
        super().fsync(fd)
        self._progress()

    def syncfs(self, fd: int) -> None:
        """Make everything last that the file system holds."""
        super().syncfs(fd)
        self._progress()

    def syncfs_aside(self, fd: int) -> Callable[[], None]:
        """Begin to make everything last that the file system holds, on a thread that does nothing else."""
        syncing = self._beside.submit(super().syncfs, fd)

        def wait() -> None:
            syncing.result()
            self._progress()

        return wait

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        super().unlink(path)
        self._progress()


def temporary_name(disk: Disk, path: Path) -> Path:
    """Return a name beside `path` that no other writer uses and that readers of the folder ignore."""
    start = os.fsdecode(os.fsencode(path.name)[:200])  # a name has 255 bytes, not characters
    return path.with_name(f".{start}.{disk.token()}.tmp")


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that `temporary_name` gave."""
    return _TEMPORARY.fullmatch(name) is not None


def write_new_file(disk: Disk, path: Path, data: bytes, mode: int, *, sync: bool = True) -> None:
    """Write `data` into a new file and make the bytes last; the name lasts with the folder's next fsync.

    With `sync` false the bytes last with a later `sync_files`. Raises StorageError; on an error nothing of it is
    left behind (after a crash a partial file may be).
    """
    with _storage("write", path):
        fd = disk.create(path, mode)
        try:
            disk.write(fd, data)
            if sync:
                disk.fsync(fd)
        except OSError:
            remove_quietly(disk, path)
            raise
        finally:
            disk.close(fd)


def start_writing_back(fd: int) -> None:
    """Let the kernel begin to write a file's bytes to the medium, so that a sync finds less to do. Promises nothing."""
    with suppress(AttributeError):  # a C library without it
        _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def _sync_file_range(fd: int, start: int, count: int, flags: int) -> int:
    done: int = _libc().sync_file_range(fd, ctypes.c_int64(start), ctypes.c_int64(count), flags)
    return done


class Sync:
    """Bytes of several files of ours on their way to the medium; they last when `wait` has returned.

    Each fsync waits for the medium once; from so many files of one file system on, waiting once for everything that it
    holds is quicker, whatever others have written there, and can be done beside other work.
    """

    def __init__(self, disk: Disk, paths: Iterable[Path]) -> None:
        self.failed: dict[Path, StorageError] = {}
        """The files whose own sync failed: the kernel tells of that once, so that another one would prove nothing."""
        self._error: StorageError | None = None
        self._aside: list[tuple[Path, int, Callable[[], None]]] = []
        found: dict[int, list[tuple[Path, int]]] = {}
        for path in paths:
            try:
                status = path.lstat()
            except OSError as error:
                self._fail(path, error)
            else:
                found.setdefault(status.st_dev, []).append((path, status.st_size))
        for files in found.values():
            self._begin(disk, files)

    def _begin(self, disk: Disk, files: Sequence[tuple[Path, int]]) -> None:
        together = len(files) >= SYNC_TOGETHER_FILES
        for path, size in files:
            if together and size <= FLUSH_BYTES:
                continue
            try:  # of those together a large one by itself first: that gives signs of life
                fd = open_regular(path)
                try:
                    disk.fsync(fd)
                finally:
                    os.close(fd)
            except OSError as error:
                self._fail(path, error)
        if together:
            path = files[-1][0]
            try:
                fd = open_regular(path)
                try:
                    self._aside.append((path, fd, disk.syncfs_aside(fd)))
                except BaseException:
                    os.close(fd)
                    raise
            except OSError as error:
                self._error = self._error or StorageError("sync", path, error)

    def _fail(self, path: Path, error: OSError) -> None:
        self.failed[path] = StorageError("sync", path, error)
        self._error = self._error or self.failed[path]

    def wait(self) -> None:
        """Wait until all of them last. Raises StorageError; some may last then."""
        aside, self._aside = self._aside, []
        for path, fd, wait in aside:
            try:
                with _storage("sync", path):
                    wait()
            except StorageError as error:
                self._error = self._error or error
            finally:
                os.close(fd)
        if self._error is not None:
            raise self._error


def sync_files(disk: Disk, paths: Iterable[Path]) -> None:
    """Make the bytes of several files of ours last. Raises StorageError; some may last by then."""
    Sync(disk, paths).wait()


def replace_file(disk: Disk, path: Path, data: bytes, mode: int) -> None:
    """Replace `path` by a file of these bytes, all or nothing, and make it last.

    A crash before the rename leaves the old file (and a temporary one); after it, before the folder's fsync,
    the old or the new one; after that the new one.
    """
    temporary = temporary_name(disk, path)
    write_new_file(disk, temporary, data, mode)
    with _storage("replace", path):
        try:
            disk.rename(temporary, path)
        except OSError:
            remove_quietly(disk, temporary)
            raise
        disk.fsync_dir(path.parent)


def remove_quietly(disk: Disk, path: Path) -> bool:
    """Remove a file of ours that may not be there, or that cannot be removed; tell whether it is gone.

    Where it is not, the next start tries again.
    """
    try:
        disk.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def make_folder(disk: Disk, path: Path, mode: int = 0o750) -> None:
    """Make a folder and its missing parents, lastingly. One that is there is left as it is.

    Raises StorageError, also when the path is a symlink or no folder.
    """
    with _storage("make the folder", path):
        missing = []
        here = path
        while not here.exists() and not here.is_symlink():
            missing.append(here)
            here = here.parent
        for folder in reversed(missing):
            with suppress(FileExistsError):
                disk.mkdir(folder, mode)
            disk.fsync_dir(folder.parent)
        if not stat.S_ISDIR(path.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def content_of(found: os.stat_result) -> tuple[int, int, int]:
    """Return what of a file's status stays the same as long as nobody writes to it, also when it is renamed: inode,
    size and the time of the last write.
    """
    return found.st_ino, found.st_size, found.st_mtime_ns


def open_regular(path: Path | str) -> int:
    """Open a file for reading without following a link at its end and without waiting on a FIFO or device.

    Returns the descriptor; an OSError (ELOOP for a symlink, EINVAL for anything but a regular file) otherwise.
    """
    return open_and_stat(path)[0]


def open_and_stat(path: Path | str) -> tuple[int, os.stat_result]:
    """Open a file as `open_regular` does; return its status, too."""
    fd = os.open(path, os.O_RDONLY | _NOFOLLOW | _NEVER_WAIT | _CLOEXEC | _BINARY)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd, found


def read_regular(path: Path | str, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of a regular file: one more than allowed tells that there is more."""
    fd = open_regular(path)
    try:
        return read_open_file(fd, limit)
    finally:
        os.close(fd)


def read_open_file(fd: int, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of an open file, from where it stands."""
    parts = []
    left = limit + 1
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file of ours. Raises FileNotFoundError and StorageError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError("read", path, error) from error


def inode_of(path: Path) -> int:
    """Return the inode of a file of ours. Raises FileNotFoundError and StorageError."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError("look at", path, error) from error


def exists(path: Path) -> bool:
    """Return whether there is something at the path. Raises StorageError when that cannot be seen."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            return False
        raise StorageError("look at", path, error) from error
    return True


def digest_open_file(fd: int, progress: Callable[[], None] = _nothing) -> str:
    """Return the SHA-256 of an open file, read from its beginning. `progress` is called after each chunk."""
    digest = hashlib.sha256()
    try:
        view: memoryview = _buffers.view
    except AttributeError:  # made once a thread: to make one takes as long as to fill it
        view = _buffers.view = memoryview(bytearray(DIGEST_CHUNK_BYTES))
    place = 0
    while count := os.preadv(fd, [view], place):
        digest.update(view[:count])
        place += count
        progress()
    return digest.hexdigest()


def copy_open_file(
    disk: Disk, source: int, target: Path, mode: int, progress: Callable[[], None] = _nothing
) -> tuple[str, int]:
    """Copy an open file into a new file of ours, make its bytes last, return their SHA-256 and number.

    Blocks are shared where the file system can (a reflink); the digest is then taken from our file, else from
    the very bytes that were written. `progress` is called after each chunk. On an error nothing is left at `target`.
    """
    with _storage("copy to", target):
        fd = disk.create(target, mode)
        try:
            try:
                disk.clone(source, fd)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                digest = hashlib.sha256()
                size = 0
                os.lseek(source, 0, os.SEEK_SET)
                while chunk := os.read(source, COPY_CHUNK_BYTES):
                    disk.write(fd, chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    progress()
                result = digest.hexdigest(), size
            else:
                result = digest_open_file(fd, progress), os.fstat(fd).st_size
            disk.fsync(fd)
        except OSError:
            remove_quietly(disk, target)
            raise
        finally:
            disk.close(fd)
    return result


def move_file(disk: Disk, source: Path, target: Path, mode: int = 0o440) -> None:
    """Move a file to a free name, within or across file systems; the caller syncs both folders.

    Across file systems it is copied under a temporary name, synced, renamed, the folder synced, and only then
    is the source removed: a crash leaves one whole file or two, never none. Raises StorageError; the code is
    EEXIST when the name is taken.
    """
    with _storage("move", source):
        try:
            disk.rename_new(source, target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        temporary = temporary_name(disk, target)
        fd = open_regular(source)  # first: of a move that was done already, that the source is gone is what matters
        try:
            if target.exists() or target.is_symlink():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
            copy_open_file(disk, fd, temporary, mode)
        finally:
            os.close(fd)
        try:
            disk.rename_new(temporary, target)
        except OSError:
            remove_quietly(disk, temporary)
            raise
        disk.fsync_dir(target.parent)
        disk.unlink(source)

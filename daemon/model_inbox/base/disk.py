"""All durable changes on the disk: write, sync, link, rename, copy and remove.

Owns `Disk`, whose changing methods are single steps (a crash can come before or after each, and within a write), and
a few operations made of several steps; `copying` makes copies of whole files of them. Its reading methods change
nothing; code that depends on file times or on refused access uses them, not the os module. Never decides anything: the
caller says what goes where. All other modules only read. Tests pass a Disk that counts the steps and stops at one of
them, or that returns times of its own.

The producer's side also runs on macOS and Windows: what only Linux has is imported or looked up at its first use, and
flags and calls that a system lacks are left out. The daemon needs Linux.

Assumptions about the medium: rename and link are atomic within a file system; fsync of a file makes its bytes durable
and fsync of a folder its names; an interrupted append leaves a prefix of the new bytes; names that were not synced
become durable in the order of their steps, as file systems with a journal do it. The registry does not rely on that
order. The inbox does, where it moves a file into a folder that it has just made.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from ..errors import StorageError
from .acl import ACCESS, DEFAULT, NO_LISTS, Acl

__all__ = [
    "Disk",
    "Hash",
    "Note",
    "PacedDisk",
    "Sync",
    "content_of",
    "exists",
    "inode_of",
    "is_mounted_read_only",
    "is_temporary",
    "make_folder",
    "no_op",
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

# A slow disk writes this in a few seconds, which is less than the watchdog's time-out.
FLUSH_BYTES = 64 << 20
# From this many files of one file system, one syncfs is faster than an fsync of each.
SYNC_TOGETHER_FILES = 16

# Flags of sync_file_range(2): start the writing; start it and wait for its end.
_SYNC_FILE_RANGE_WRITE = 2
_FLUSH = 7
# ioctl from linux/fs.h: share the blocks of another file.
_FICLONE = 0x40049409
# Arguments of renameat2(2).
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
# Flags of open(2) that some systems lack. Only Windows opens files in a text mode by default.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)


class Hash(Protocol):
    """The methods of a `hashlib` object that are used here."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def no_op() -> None:
    """No-op progress callback."""


@functools.cache
def _libc() -> Any:
    """Return the C library, for the system calls that Python does not wrap."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _last_error(*paths: str) -> OSError:
    """Return the OSError of the last failed call to the C library in this thread."""
    from ctypes import get_errno

    code = get_errno()
    source, target = paths or (None, None)
    return OSError(code, os.strerror(code), source, None, target)


@contextmanager
def storage_errors(operation: str, path: object) -> Iterator[None]:
    """Raise an OSError of the block as a StorageError with the operation and the path."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(operation, path, error) from error


class Disk:
    """Single steps on the disk. A method completes its step or raises the OSError of the system call."""

    def create(self, path: Path, mode: int) -> int:
        """Create a file and return its descriptor. Raises FileExistsError if the name is taken, also by a symlink."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | _BINARY, 0o600)
        try:
            # The mode must not depend on the umask. Windows has no modes.
            if hasattr(os, "fchmod"):
                os.fchmod(fd, mode)
        except OSError:
            os.close(fd)
            raise
        return fd

    def open_append(self, path: Path) -> int:
        """Open an existing file for reading and appending."""
        return os.open(path, os.O_RDWR | os.O_APPEND | _NOFOLLOW | _CLOEXEC)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        """Write all of `data`. After an error or a crash a prefix of it may be in the file."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def clone(self, source: int, target: int) -> None:
        """Let `target` share the blocks of `source` (a reflink). Raises OSError where the file system cannot."""
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(fd, size)

    def touch(self, fd: int) -> None:
        """Set the file's times to now. Nothing depends on them after a crash."""
        os.utime(fd)

    def fsync(self, fd: int) -> None:
        """Make the file's bytes durable."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor that `create` or `open_append` returned."""
        os.close(fd)

    def chmod(self, file: int | Path, mode: int) -> None:
        """Set the mode of a file of ours: an open one, or a path in a folder that no other user can change."""
        os.chmod(file, mode)

    def set_acl(self, file: int | Path, acl: Acl | None, *, default: bool = False) -> None:
        """Set or remove the list of rights of a file or folder of ours, as for `chmod`; the mode follows it.

        `default` is the list that what is made in the folder gets. Raises OSError with one of `acl.NO_LISTS` where the
        file system has no lists.
        """
        name = DEFAULT if default else ACCESS
        if acl is not None:
            os.setxattr(file, name, acl.encode())
            return
        try:
            os.removexattr(file, name)
        except OSError as error:
            if error.errno not in (errno.ENODATA, *NO_LISTS):
                raise

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name. Raises FileExistsError if the name is taken: nothing is overwritten."""
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file or folder; replace what is at `target`."""
        os.rename(source, target)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename a file or folder. Raises FileExistsError if `target` exists.

        Linux has renameat2(2) for this, and on Windows rename does it. On other systems, and on a file system without
        the flag, the file is linked to the new name and then the old name is removed. A crash between the two leaves
        both names on one inode; every caller can handle that and finish.
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
        """Make a folder. Raises FileExistsError if it exists.

        The umask limits the mode, and the group comes from a setgid parent. Special bits are set in a second step,
        which is skipped where a hardened service may not set them.
        """
        os.mkdir(path, mode & 0o777)
        if mode & 0o7000:
            with suppress(PermissionError):
                os.chmod(path, mode)

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def syncfs(self, fd: int) -> None:
        """Make everything on the file system of the open file durable, including what other programs wrote."""
        if _libc().syncfs(fd) != 0:
            raise _last_error()

    def start_syncfs(self, fd: int) -> Callable[[], None]:
        """Start `syncfs`. The function that is returned waits until it has ended, and raises its OSError."""
        self.syncfs(fd)
        return no_op

    def fsync_dir(self, path: Path) -> None:
        """Make the names in a folder durable. Windows has no call for this and writes them by itself."""
        if os.name == "nt":
            return
        fd = os.open(path, os.O_RDONLY | _DIRECTORY | _CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # --- reading: nothing changes, so a crash between two of these needs no care -------------------------------

    def scan(self, folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Return the entries of a folder, to be used in a `with` block."""
        return os.scandir(folder)

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, in no order."""
        return os.listdir(folder)

    def exists(self, path: Path) -> bool:
        """Return whether a path exists. A dangling symlink counts as existing."""
        return os.path.lexists(path)

    def may_write(self, path: Path) -> bool:
        """Return whether the kernel lets this user write to a file or folder, as far as it can tell without writing.

        It knows of modes, of attributes (`chattr +i`) and of a file system that is mounted read-only.
        """
        return os.access(path, os.W_OK)

    def lstat(self, path: Path | str) -> os.stat_result:
        """Return the status of a path. A symlink is not followed."""
        return os.lstat(path)

    def fstat(self, fd: int) -> os.stat_result:
        """Return the status of an open file."""
        return os.fstat(fd)

    def open_read(self, path: Path | str) -> tuple[int, os.stat_result]:
        """Open a regular file as `open_and_stat` does. Return descriptor and status. The caller closes it."""
        return open_and_stat(path)

    def token(self) -> str:
        """Return random text for a unique name: 16 hexadecimal digits.

        A process id is not unique enough: in a container every run has the same one, and a file that a crash left
        behind would have the name that the next run needs.
        """
        return os.urandom(8).hex()


class PacedDisk(Disk):
    """A disk that calls `progress` after each slow step, and runs one `syncfs` at a time on a thread of its own."""

    def __init__(self, progress: Callable[[], None]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._progress = progress
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="syncing")

    def fsync(self, fd: int) -> None:
        """Make the file's bytes durable. A large file is flushed in pieces first, with `progress` after each."""
        size = os.fstat(fd).st_size
        for start in range(0, size if size > FLUSH_BYTES else 0, FLUSH_BYTES):
            if _sync_file_range(fd, start, FLUSH_BYTES, _FLUSH) != 0:
                error = _last_error()
                if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EPERM, errno.EOPNOTSUPP):
                    # The kernel reports a write error once: the fsync below may succeed after it.
                    raise error
                break
            self._progress()
        super().fsync(fd)
        self._progress()

    def syncfs(self, fd: int) -> None:
        """Make everything on the file system durable."""
        super().syncfs(fd)
        self._progress()

    def start_syncfs(self, fd: int) -> Callable[[], None]:
        """Start `syncfs` on the thread for it. The function that is returned waits for its end."""
        syncing = self._executor.submit(super().syncfs, fd)

        def wait() -> None:
            syncing.result()
            self._progress()

        return wait

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        super().unlink(path)
        self._progress()


class Note:
    """A line of ours in a file of its own, overwritten in place and never synced: what is in work at this moment.

    It is for the process that comes next. The page cache keeps it when this process dies, however that happens; only a
    power cut may lose it or bring back an older one. So it costs no fsync. A death within a write leaves the old line
    or the new one, or in a line of more than a page a mix of both.
    """

    def __init__(self, heading: str) -> None:
        """Each line begins with the heading, which is unlike that of any other process."""
        self._heading = heading
        self._fd: int | None = None
        self._words: tuple[str, ...] | None = None

    def open(self, path: Path) -> str:
        """Open or make the file, and return the line in it, "" for none. Raises StorageError."""
        self.close()
        with storage_errors("open", path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW | _CLOEXEC, 0o600)
            return os.pread(self._fd, 1 << 20, 0).partition(b"\n")[0].decode("utf-8", "replace")

    def write(self, *words: str) -> None:
        """Replace the line, if the file is open. If that fails the file is emptied: an old line would accuse others."""
        if self._fd is None or words == self._words:
            return
        self._words = words
        try:
            os.pwrite(self._fd, f"{' '.join((self._heading, *words))}\n".encode(), 0)
        except OSError:
            self._words = None
            with suppress(OSError):
                os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """Close the file, which stays."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = self._words = None


def temporary_name(disk: Disk, path: Path) -> Path:
    """Return a name beside `path` that no other writer uses and that readers of the folder ignore."""
    # A name may have 255 bytes, whatever the number of characters.
    start = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{start}.{disk.token()}.tmp")


def is_temporary(name: str) -> bool:
    """Return whether `temporary_name` made this name."""
    return _TEMPORARY.fullmatch(name) is not None


def write_new_file(disk: Disk, path: Path, data: bytes, mode: int, *, sync: bool = True) -> None:
    """Write `data` to a new file and make its bytes durable. Its name becomes durable with the folder's next fsync.

    With `sync=False` the bytes become durable with a later `sync_files`. Raises StorageError and leaves no file then.
    A crash can leave a partial file.
    """
    with storage_errors("write", path):
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
    """Ask the kernel to start writing a file's bytes to the medium, so that a later sync is faster."""
    # Some C libraries lack the call.
    with suppress(AttributeError):
        _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def _sync_file_range(fd: int, start: int, count: int, flags: int) -> int:
    from ctypes import c_int64

    done: int = _libc().sync_file_range(fd, c_int64(start), c_int64(count), flags)
    return done


class Sync:
    """A running sync of several files of ours. Their bytes are durable when `wait` has returned.

    Each fsync waits for the medium. For many files of one file system a single syncfs is faster, although it also
    writes the data of other programs, and it can run beside other work.
    """

    def __init__(self, disk: Disk, paths: Iterable[Path]) -> None:
        self.failed: dict[Path, StorageError] = {}
        """The files whose fsync failed. The kernel reports an error once, so a second fsync would prove nothing."""
        self._error: StorageError | None = None
        self._running: list[tuple[Path, int, Callable[[], None]]] = []
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
            # Large files are synced one by one even before a syncfs, as only that calls `progress` on the way.
            try:
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
                    self._running.append((path, fd, disk.start_syncfs(fd)))
                except BaseException:
                    os.close(fd)
                    raise
            except OSError as error:
                self._error = self._error or StorageError("sync", path, error)

    def _fail(self, path: Path, error: OSError) -> None:
        self.failed[path] = StorageError("sync", path, error)
        self._error = self._error or self.failed[path]

    def wait(self) -> None:
        """Wait until all files are durable. Raises the first StorageError; some files may be durable then."""
        running, self._running = self._running, []
        for path, fd, wait in running:
            try:
                with storage_errors("sync", path):
                    wait()
            except StorageError as error:
                self._error = self._error or error
            finally:
                os.close(fd)
        if self._error is not None:
            raise self._error


def sync_files(disk: Disk, paths: Iterable[Path]) -> None:
    """Make the bytes of several files of ours durable. Raises StorageError; some files may be durable then."""
    Sync(disk, paths).wait()


def replace_file(disk: Disk, path: Path, data: bytes, mode: int) -> None:
    """Replace `path` atomically and durably with a file of these bytes. Raises StorageError.

    A crash before the rename leaves the old file and perhaps a temporary one. A crash between the rename and the
    folder's fsync leaves the old or the new file. After the fsync the new file stays.
    """
    temporary = temporary_name(disk, path)
    write_new_file(disk, temporary, data, mode)
    with storage_errors("replace", path):
        try:
            disk.rename(temporary, path)
        except OSError:
            remove_quietly(disk, temporary)
            raise
        disk.fsync_dir(path.parent)


def remove_quietly(disk: Disk, path: Path) -> bool:
    """Remove a file of ours if it exists. Return whether it is gone; no error is raised if it cannot be removed.

    The next start tries again to remove what was left.
    """
    try:
        disk.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def make_folder(disk: Disk, path: Path, mode: int = 0o750) -> None:
    """Make a folder and its missing parents durably. An existing folder is not changed.

    Raises StorageError, also if the path is a dangling symlink or not a folder.
    """
    with storage_errors("make the folder", path):
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
    """Return inode, size and time of the last write. A rename leaves them unchanged, a write does not."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def open_regular(path: Path | str) -> int:
    """Open a regular file for reading and return its descriptor. Never follows a symlink or waits for a FIFO.

    Raises OSError: ELOOP for a symlink, EINVAL for anything else that is not a regular file.
    """
    return open_and_stat(path)[0]


def open_and_stat(path: Path | str) -> tuple[int, os.stat_result]:
    """Open a file as `open_regular` does. Return descriptor and status."""
    fd = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _CLOEXEC | _BINARY)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd, found


def read_regular(path: Path | str, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of a regular file: more than `limit` bytes mean that the file is too large."""
    fd = open_regular(path)
    try:
        return read_open_file(fd, limit)
    finally:
        os.close(fd)


def read_open_file(fd: int, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of an open file, from its current position."""
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


def is_mounted_read_only(path: Path) -> bool:
    """Return whether a path is on a file system that is mounted read-only; False if that cannot be found out."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Return whether a path exists. Raises StorageError when the system refuses to say."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            return False
        raise StorageError("look at", path, error) from error
    return True

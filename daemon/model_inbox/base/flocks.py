"""Exclusive flock(2) locks on files: the daemon holds one for its life, a writer one for each commit.

Owns lock files, the text in them that names the holder, and the question who holds one. The kernel releases a lock
when its process ends, however it ends. The text may stay behind and is used in error messages only. Never decides
what a lock protects.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import RegistryError, RegistryLocked, StorageError, is_transient
from ..problems import quoted

__all__ = ["FileLock", "Holding", "who_holds"]

_FIRST_WAIT_SECONDS = 0.0005
_LONGEST_WAIT_SECONDS = 0.02
_HOLDER_BYTES = 200


class FileLock:
    """An exclusive lock on a file, which is made for the lock (mode 0600) and is never removed.

    With `only_reads` the file is neither made nor written, so that it can be locked on a read-only file system.
    Not reentrant and not thread-safe: the caller serialises its threads.
    """

    def __init__(self, path: Path, purpose: str, *, only_reads: bool = False) -> None:
        self.path = path
        self._only_reads = only_reads
        self.purpose = purpose
        self._fd: int | None = None
        self._pid = 0
        self._held = False

    def acquire(self, timeout_seconds: float) -> None:
        """Take the lock; wait for it at most `timeout_seconds`.

        Raises RegistryLocked with the holder's name, StorageError when the file cannot be opened, and RegistryError
        on a file system without locks.
        """
        deadline = None
        wait = _FIRST_WAIT_SECONDS
        while True:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                    # Of a lock, ENOLCK mostly means a network file system without a lock manager: no retry helps.
                    if is_transient(error) and error.errno != errno.ENOLCK:
                        raise StorageError("take the lock", self.path, error) from error
                    raise RegistryError(
                        f"cannot lock {str(self.path)!r}: the file system refuses locks ({error.strerror})",
                        hint="Keep the registry on a local file system, or mount the network one with locks",
                    ) from error
                now = time.monotonic()
                deadline = now + timeout_seconds if deadline is None else deadline
                if now >= deadline:
                    raise RegistryLocked(
                        f"cannot take the {self.purpose} lock {str(self.path)!r} within "
                        f"{timeout_seconds:g} s: held by {self.holder()}",
                        hint="Try again, or wait for that process to end",
                    ) from None
                time.sleep(min(wait, max(deadline - now, 0)))
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
                continue
            if self._still_the_file(fd):
                self._held = True
                self._write_holder(fd)
                return
            # The file was removed while we waited. A lock on it would exclude no process that opens the path later.
            self.close()

    @property
    def is_in_place(self) -> bool:
        """Whether this process has the file open and the path still leads to that file."""
        return self._fd is not None and self._pid == os.getpid() and self._still_the_file(self._fd)

    def release(self) -> None:
        """Release the lock if it is held. The file stays open for the next time."""
        if self._held and self._fd is not None and self._pid == os.getpid():
            self._held = False
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the lock and close the file. A lock that the parent of this process holds stays held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd, self._held = None, False

    def holder(self) -> str:
        """Return who holds the lock according to the text in the file, quoted, for messages only."""
        try:
            text = self.path.read_bytes()[:_HOLDER_BYTES].decode("utf-8", "replace").strip()
        except OSError:
            text = ""
        return quoted(text, _HOLDER_BYTES) if text else "a process that left no name"

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        if self._fd is not None and self._pid != os.getpid():
            # After a fork, parent and child share the open file and so the lock. Each needs a file of its own.
            self.close()
        if self._fd is None:
            flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            how = os.O_RDONLY if self._only_reads else os.O_RDWR | os.O_CREAT
            try:
                self._fd = os.open(self.path, how | flags, 0o600)
            except OSError as error:
                raise StorageError("open the lock", self.path, error) from error
            self._pid = os.getpid()
        return self._fd

    def _still_the_file(self, fd: int) -> bool:
        ours = os.fstat(fd)
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def _write_holder(self, fd: int) -> None:
        text = f"process {os.getpid()} ({_program_name()})\n".encode()
        # On a full disk there may be no room for the name. The lock is held without it.
        with suppress(OSError):
            if os.pread(fd, _HOLDER_BYTES, 0) != text:
                os.pwrite(fd, text, 0)
                os.ftruncate(fd, len(text))


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether a lock is held (None: this user cannot find out), and by which process if that is known."""

    held: bool | None
    pid: int | None = None


def who_holds(path: Path) -> Holding:
    """Return who holds the lock file at `path`. Any user may ask; nothing is made or written.

    The kernel's list of locks (/proc/locks) is read first; it names the process. Where the list is hidden, as in a
    hardened service, a shared lock is taken for an instant if this user may open the file, and the process is read
    from the file. A daemon that starts in that instant waits longer for its lock than this takes.
    """
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return Holding(held=False)
    except OSError:
        return Holding(held=None)
    listed = _listed_holder(found)
    if listed:
        return Holding(held=True, pid=listed)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return Holding(held=None if listed is None else False)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            return Holding(held=None)
        said = re.match(rb"process (\d{1,10}) ", os.pread(fd, _HOLDER_BYTES, 0))
        return Holding(held=True, pid=int(said[1]) if said is not None else None)
    else:
        return Holding(held=False)
    finally:
        os.close(fd)


def _listed_holder(found: os.stat_result, locks: Path = Path("/proc/locks")) -> int | None:
    """Return the process that /proc/locks lists as the holder: 0 if it lists none, None if it cannot be read."""
    try:
        lines = locks.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    # A line is `1: FLOCK ADVISORY WRITE 5471 00:1b:404833 0 EOF`. The line of a waiting process has `->` before FLOCK.
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[3] == "WRITE" and words[5] == where:
            return int(words[4]) if words[4].isdecimal() and words[4] != "0" else None
    return 0


def _program_name() -> str:
    try:
        words = Path("/proc/self/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        words = []
    return " ".join(Path(word).name if "/" in word else word for word in words[:3] if word)[:120] or "python"

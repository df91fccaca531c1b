"""Two kinds of flock(2): one for the life of a daemon, one for the length of a commit.

Owns lock files and the text in them that names the holder, and finding out who holds one without taking it. A lock
belongs to the open file, so it ends with the process however that ends; the text in the file may outlive it and
counts for nothing but the error message.
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

from ..errors import RegistryError, RegistryLocked, StorageError
from ..problems import quoted

__all__ = ["FileLock", "Holding", "who_holds"]

_FIRST_WAIT_SECONDS = 0.0005
_LONGEST_WAIT_SECONDS = 0.02
_HOLDER_BYTES = 200


class FileLock:
    """An exclusive lock on a file that is made for it (mode 0600) and stays when the lock is released.

    Not reentrant, and not for two threads at once: whoever owns the object serialises its threads.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self.path = path
        self.purpose = purpose
        self._fd: int | None = None
        self._pid = 0
        self._held = False

    def acquire(self, timeout_seconds: float) -> None:
        """Take the lock, waiting at most `timeout_seconds`.

        Raises RegistryLocked naming the holder, StorageError when the file cannot be opened, and RegistryError
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
                self._sign(fd)
                return
            self.close()  # somebody removed the file while we waited: a lock on it would exclude nobody

    @property
    def is_in_place(self) -> bool:
        """Whether we hold the lock, and on the very file that is at the path now."""
        return self._fd is not None and self._pid == os.getpid() and self._still_the_file(self._fd)

    def release(self) -> None:
        """Let go, if it is held; the file stays open for the next time."""
        if self._held and self._fd is not None and self._pid == os.getpid():
            self._held = False
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go and close the file. A lock that the parent of this process holds is left alone."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd, self._held = None, False

    def holder(self) -> str:
        """Say who holds the lock, as far as the file tells: the words are for people only."""
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
            # After a fork parent and child share the open file and so the lock: each needs its own.
            self.close()
        if self._fd is None:
            try:
                self._fd = os.open(
                    self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600
                )
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

    def _sign(self, fd: int) -> None:
        text = f"process {os.getpid()} ({_program_name()})\n".encode()
        with suppress(OSError):  # a full disk has no room for the name; the lock is taken all the same
            if os.pread(fd, _HOLDER_BYTES, 0) != text:
                os.pwrite(fd, text, 0)
                os.ftruncate(fd, len(text))


@dataclass(frozen=True, slots=True)
class Holding:
    """Whether somebody holds a lock (None: this user cannot tell), and the process id as far as it is known."""

    held: bool | None
    pid: int | None = None


def who_holds(path: Path) -> Holding:
    """Find out who holds a lock, as any user may: nothing is made, written or kept from whoever wants the lock.

    The kernel's list of locks is asked first, which names the process; where it is hidden (as in a hardened
    service), a shared lock is tried for an instant by who may open the file, which a daemon that starts just then
    outlasts (it waits a moment), and the process is the one that the holder wrote down.
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
    """Return the process that the kernel lists as the holder; 0 when none is listed, None without a list."""
    try:
        lines = locks.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:  # 1: FLOCK ADVISORY WRITE 5471 00:1b:404833 0 EOF; a waiter has -> in the second place
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

"""Which files were left behind by a process that died while it wrote them.

Owns how a file is held (a shared descriptor for reading with an exclusive flock(2) lock on it) and how it is found out
that nobody holds it. The kernel releases the lock when the process ends, however it ends. Where there are no such locks
nothing counts as left behind. Never removes or changes a file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .disk import is_temporary, open_and_stat

__all__ = ["abandoned", "hold", "temporary_names"]


def hold(path: Path) -> int | None:
    """Hold a file that this process has just made. Return the descriptor to close at the end.

    Returns None if the file is gone: another process found it before it was held, and removed it as left behind. The
    descriptor is for reading alone, so that it does not count as a writer's.
    """
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    # The other process has the lock only while it looks.
    _lock(fd, wait=True)
    if os.fstat(fd).st_nlink:
        return fd
    os.close(fd)
    return None


@contextmanager
def abandoned(path: Path, uid: int) -> Iterator[int | None]:
    """Yield a descriptor for reading a regular file of the user that no process holds, or None for any other file.

    While the block runs, nobody else finds the file left behind.
    """
    fd = None
    with suppress(OSError):
        fd, found = open_and_stat(path)
        if found.st_uid != uid or not _lock(fd, wait=False) or not _is_at(fd, path):
            os.close(fd)
            fd = None
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def temporary_names(folder: Path, names: Collection[str]) -> list[Path]:
    """Return the temporary files in a folder that `temporary_name` named for one of these names.

    An empty list if the folder may not be listed.
    """
    starts = {os.fsdecode(os.fsencode(f".{name}")[:201]) for name in names}
    with suppress(OSError):
        found = os.listdir(folder)
        return [folder / name for name in found if is_temporary(name) and name.rsplit(".", 2)[0] in starts]
    return []


def _lock(fd: int, *, wait: bool) -> bool:
    """Lock an open file. Return whether it is locked; False on a system or a file system without locks."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(fd), os.lstat(path))

"""The registry's writer lock, for all threads of one process.

Owns the order in which a thread takes its turn among those of this process and then locks out other processes. What
is done under the lock is the store's affair.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base.flocks import FileLock
from ..errors import RegistryError, RegistryLocked

__all__ = ["WriterLock"]


class WriterLock:
    """One file lock, held by one thread at a time, which may take it again while it has it.

    `threads` belongs to the thread whose turn it is; it is taken before the file, and may be taken without it.
    `is_held` says whether that thread has locked out other processes, too.
    """

    def __init__(self, path: Path) -> None:
        self.threads = threading.RLock()
        self._file = FileLock(path, "registry writer's")
        self.is_held = False
        self._is_closed = False

    @contextmanager
    def held(self, timeout_seconds: float) -> Iterator[bool]:
        """Keep out the other threads of this process, then other processes.

        The value is whether this thread did not have the lock before. Raises RegistryLocked naming the holder,
        RegistryError after `close`, and StorageError.
        """
        with self._turn(timeout_seconds):
            if self.is_held:
                yield False
                return
            if self._is_closed:
                raise RegistryError(f"cannot take the lock {str(self._file.path)!r}: this handle is closed")
            try:
                self._file.acquire(timeout_seconds)
                self.is_held = True
                yield True
            finally:
                self.is_held = False
                self._file.release()

    @contextmanager
    def _turn(self, timeout_seconds: float) -> Iterator[None]:
        """Keep the other threads of this process out. Raises RegistryLocked when one of them takes too long."""
        if not self.threads.acquire(timeout=max(timeout_seconds, 0)):
            raise RegistryLocked(
                f"cannot take the registry writer's lock {str(self._file.path)!r} within {timeout_seconds:g} s: "
                "held by another thread of this process",
                hint="Try again, or wait for that thread",
            )
        try:
            yield
        finally:
            self.threads.release()

    def close(self) -> None:
        """Close the lock's file, which releases the lock. It is not opened again."""
        self._is_closed = True
        self._file.close()

    def after_fork(self) -> None:
        """In the child of a fork: threads that stayed behind have no turn, and the parent's lock is not ours."""
        self.threads = threading.RLock()
        self.is_held = False
        self._file.close()

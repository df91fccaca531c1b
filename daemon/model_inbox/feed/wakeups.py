"""Wake a reader when the journal may have changed: at once by inotify, else by the clock.

Owns `Wakeups`. Says nothing about what changed: its caller looks, as after every wake-up. The journal's own file is
watched, so that nothing else in the folder wakes anybody; a watch goes with the file when it is renamed or its folder
is moved, so each wait compares the file at the path with the one that is watched. Where inotify says nothing (a network
file system, no watches left, another folder mounted over) the clock is enough.

Python's standard library has no inotify. Its three calls are made here, without a library's threads: a process may have
many followers, and a child of a fork needs its own descriptor only.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["CLOCK_SECONDS", "Wakeups"]

CLOCK_SECONDS = 0.25
"""A reader looks this often at least. A look costs a few system calls."""

# From sys/inotify.h.
_IN_MODIFY, _IN_ATTRIB, _IN_MOVE_SELF, _IN_DELETE_SELF = 0x2, 0x4, 0x800, 0x400
# A closed segment loses a name, which is a change of its attributes.
_CHANGES = _IN_MODIFY | _IN_ATTRIB | _IN_MOVE_SELF | _IN_DELETE_SELF
_READ_BYTES = 1 << 16


class Wakeups:
    """Waits for changes of the file at `path`, which may be missing or replaced at any time; None: by the clock alone.

    One thread waits; any thread may call `wake`. Never raises for what is wrong with the file or with inotify. After a
    fork the child makes its own.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = os.fsencode(path) if path is not None else None
        try:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            # No descriptor is left. Who waits goes by the clock.
            self._wake = -1
        # The number of a closed descriptor may soon be that of another file: nobody writes to it then.
        self._lock = threading.Lock()
        self._is_closed = False
        self._events = -1
        self._watched: tuple[int, int] | None = None

    @property
    def has_events(self) -> bool:
        """Whether the file is watched, as far as the kernel says."""
        return self._watched is not None

    def wait(self, seconds: float = CLOCK_SECONDS) -> None:
        """Return when the file may have changed, when somebody calls `wake`, or after so many seconds.

        Returns at once when the watch was made in this call: what changed before that told nobody.
        """
        if self._follow_path():
            return
        poll = select.poll()
        for fd in (self._wake, self._events):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(max(0.0, seconds) * 1000):
            # What was said is read and dropped.
            with suppress(OSError):
                os.read(fd, _READ_BYTES)

    def wake(self) -> None:
        """Let the thread that waits return. It may be called from any thread, also after `close`."""
        with self._lock:
            if not self._is_closed and self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close the descriptors. Nobody waits any more."""
        self._forget()
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                if self._wake >= 0:
                    os.close(self._wake)

    def after_fork(self) -> None:
        """Close the descriptors in the child of a fork, where no other thread uses them."""
        self._lock = threading.Lock()
        self.close()

    def _follow_path(self) -> bool:
        """Watch the file that is at the path now. Return whether that is another one than before."""
        if self._path is None:
            return False
        try:
            found = os.stat(self._path)
        except OSError:
            self._forget()
            return False
        if self._watched == (found.st_dev, found.st_ino):
            return False
        self._forget()
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._events < 0:
            return False
        if libc.inotify_add_watch(self._events, ctypes.c_char_p(self._path), ctypes.c_uint32(_CHANGES)) < 0:
            self._forget()
            return False
        # Another file may have come to the path between the two calls. Then the next wait sees that.
        self._watched = (found.st_dev, found.st_ino)
        return True

    def _forget(self) -> None:
        """End the watch."""
        events, self._events, self._watched = self._events, -1, None
        if events >= 0:
            os.close(events)

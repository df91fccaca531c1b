"""Descriptors 0, 1 and 2 when the program was started without them (`2>&-`).

Owns that they are open before anything else opens a file. A file or socket that got number 2 would receive whatever is
written to stderr, log lines too. Owns as well that a stream which cannot be written does not spoil the exit status.
Never touches a stream that works.
"""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["STDERR", "fill_standard_streams", "give_up_unwritable_streams", "was_closed"]

STDERR = 2

_closed: set[int] = set()


def fill_standard_streams() -> None:
    """Open /dev/null in place of each standard stream that is closed. Call it before any file is opened.

    Raise OSError if there is no /dev/null to be opened.
    """
    for number in (0, 1, STDERR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            fd = os.open(os.devnull, os.O_RDWR)
            # Programs that we start must have them, too.
            os.set_inheritable(fd, True)  # noqa: FBT003  # its only form
            _closed.add(number)
    # Python has none of its own for a descriptor that was closed when it started.
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def give_up_unwritable_streams() -> None:
    """Let /dev/null take what stdout or stderr does not take any more (a full disk, a reader that went away).

    Without it Python would fail once more when it ends, with a traceback and an exit status of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def was_closed(number: int) -> bool:
    """Return whether this standard stream was closed at the start, so that what is written to it is lost."""
    return number in _closed

"""stdin, stdout and stderr of a program that was started without them (`2>&-`), or whose output cannot be written.

Owns that descriptors 0, 1 and 2 are open before any file is opened: a file or socket that got number 2 would receive
everything that is written to stderr, including log lines. Owns also that an output that cannot be written does not
change the exit code. Never changes a stream that works.
"""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["STDERR", "fill_standard_streams", "give_up_unwritable_streams", "was_closed"]

STDERR = 2

_closed: set[int] = set()


def fill_standard_streams() -> None:
    """Open /dev/null for each standard stream that is closed. Call this before any file is opened.

    Raises OSError if /dev/null cannot be opened.
    """
    for number in (0, 1, STDERR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            fd = os.open(os.devnull, os.O_RDWR)
            # Child processes must inherit it.
            os.set_inheritable(fd, True)  # noqa: FBT003  # its only form
            _closed.add(number)
    # Python sets sys.stdin, stdout or stderr to None if its descriptor was closed at the start.
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def give_up_unwritable_streams() -> None:
    """Send stdout or stderr to /dev/null if it can no longer be written (a full disk, a reader that has ended).

    Otherwise Python would fail when it flushes the stream at exit, with a traceback and another exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def was_closed(number: int) -> bool:
    """Return whether this standard stream was closed at the start. All output to it is lost then."""
    return number in _closed

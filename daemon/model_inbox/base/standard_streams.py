"""stdin, stdout and stderr of a program that was started without them (`2>&-`), or whose output cannot be written.

Owns that descriptors 0, 1 and 2 are open before any file is opened: a file or socket that got number 2 would receive
everything that is written to stderr, including log lines. Owns also how a program ends whose stdout cannot be written:
as those of coreutils do, and whether a stream shows colours. Never changes a stream that works.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "STDERR",
    "OutputFailed",
    "die_of_broken_pipe",
    "fill_standard_streams",
    "give_up_unwritable_streams",
    "has_colours",
    "replace_stdout",
    "was_closed",
]

STDERR = 2

_closed: set[int] = set()


class OutputFailed(Exception):
    """stdout cannot be written. It is no OSError: nobody takes it for an error of a file that a command works on.

    `exit_code` is that of the program, 1 as with coreutils unless the program failed before for another reason.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"write error: {error.strerror}")
        self.exit_code = 1
        self.is_broken_pipe = isinstance(error, BrokenPipeError)


class _Output(io.FileIO):
    """Descriptor 1. Raises OutputFailed where FileIO raises OSError."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputFailed(error) from error


def fill_standard_streams() -> None:
    """Open /dev/null for each standard stream that is closed. Call this before any file is opened.

    In place of stdout it is opened for reading alone: writing an answer fails there, as it does on a closed descriptor.
    Raises OSError if /dev/null cannot be opened.
    """
    for number in (0, 1, STDERR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            fd = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
            # Child processes must inherit it.
            os.set_inheritable(fd, True)  # noqa: FBT003  # its only form
            _closed.add(number)
    # Python sets sys.stdin, stdout or stderr to None if its descriptor was closed at the start.
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def replace_stdout() -> None:
    """Let whatever is printed raise OutputFailed if it cannot be written, and escape what the encoding lacks."""
    encoding = sys.stdout.encoding if sys.stdout is not None else "utf-8"
    buffer = io.BufferedWriter(_Output(1, "w", closefd=False))
    sys.stdout = io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=os.isatty(1))


def die_of_broken_pipe() -> None:
    """End this process as the signal SIGPIPE does, which Python ignores. A shell shows it as the exit code 141."""
    give_up_unwritable_streams()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


def give_up_unwritable_streams() -> None:
    """Send stdout or stderr to /dev/null if it can no longer be written (a full disk, a reader that has ended).

    Otherwise Python would fail when it flushes the stream at exit, with a traceback and another exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OutputFailed, OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def has_colours(stream: IO[str]) -> bool:
    """Return whether a stream is a terminal with colours, and nobody turned them off with $NO_COLOR."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb" and stream.isatty()


def was_closed(number: int) -> bool:
    """Return whether this standard stream was closed at the start. All output to it is lost then."""
    return number in _closed

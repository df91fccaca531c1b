"""What a step of a drop's way may raise, and what is done about an exception that nobody foresaw.

Owns which errors pass, which end the daemon, how often and when a drop is tried after any other, and the line in the
log. Counts nothing and retries nothing.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from ..base.log import log
from ..errors import RegistryCorrupted, RegistryLocked, RegistryMissing, RegistryTooNew, ScanError, StorageError
from ..problems import escaped, quoted

__all__ = [
    "DEATH",
    "FAILURES_MAX",
    "FATAL_ERRORS",
    "PASSING_ERRORS",
    "cause_of",
    "log_failure",
    "pause_seconds",
    "traceback_of",
]

PASSING_ERRORS = (StorageError, RegistryLocked, ScanError, OSError)
"""What says nothing about a drop, and may not happen again."""

FATAL_ERRORS = (RegistryCorrupted, RegistryMissing, RegistryTooNew)
"""What ends the daemon: it cannot commit anything to this registry. All else is unforeseen."""

DEATH = "the daemon ended in it without a word: killed by a signal, or out of memory"
"""The cause of a failure that left no exception."""

FAILURES_MAX = 2
"""After so many tries that failed unexpectedly a drop is set aside."""

FIRST_PAUSE_SECONDS = 1.0
# How long a drop waits that could not even be set aside: twice as long each time.
STUCK_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 3600.0

_TRACEBACK_CHARACTERS_MAX = 4000


def pause_seconds(failures: int) -> float:
    """Return how long a drop waits for its next try. After the last one it is set aside at once."""
    if failures < FAILURES_MAX:
        return FIRST_PAUSE_SECONDS
    if failures == FAILURES_MAX:
        return 0.0
    doublings = min(failures - FAILURES_MAX - 1, 16)
    return min(STUCK_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS)


def cause_of(error: BaseException) -> str:
    """Return an exception in one line: its class, what it says, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"{type(error).__name__}: {quoted(error)} ({place})"


def traceback_of(error: BaseException) -> str:
    """Return the end of a traceback in one line, for a field of the log: what it quotes may come from a producer."""
    lines = "".join(traceback.format_exception(error))
    return escaped(lines[-_TRACEBACK_CHARACTERS_MAX:], limit=_TRACEBACK_CHARACTERS_MAX)


def log_failure(
    stem: str,
    cause: str,
    *,
    attempt: int,
    retry_in_seconds: float,
    drop_id: str | None = None,
    error: BaseException | None = None,
) -> None:
    """Log that a try of a drop failed unexpectedly. Without `error` a daemon ended in it; without `drop_id` it was not
    claimed.
    """
    log.error(
        "drop.failed_unexpectedly",
        drop_id=drop_id,
        stem=escaped(stem),
        cause=cause,
        attempt=attempt,
        retry_in_seconds=retry_in_seconds,
        traceback=traceback_of(error) if error is not None else None,
    )

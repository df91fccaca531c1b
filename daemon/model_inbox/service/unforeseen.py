"""Pieces of the daemon's own work that failed in a way that nobody foresaw.

Owns how often each failed, and when it is tried again: later and later, so that it costs neither the daemon nor the
other pieces. Decides nothing about a drop; those have their own count (`inbox.tries`, `inbox.suspects`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ..inbox.failures import cause_of, traceback_of

__all__ = ["Failing", "Unforeseen", "later"]

log = structlog.get_logger("model_inbox")

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Failing:
    """A piece of work that failed `attempts` times in a row. It is due `at` that second of the monotonic clock."""

    task: str
    cause: str
    attempts: int
    at: float


class Unforeseen:
    """What fails now. `failing` is empty on nearly every day, so ask for that first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.failing: dict[str, Failing] = {}

    def failed(self, task: str, error: BaseException) -> None:
        """Log an exception with its traceback, and let that piece of work wait."""
        before = self.failing.get(task)
        attempts = before.attempts + 1 if before is not None else 1
        pause = later(attempts)
        cause = cause_of(error)
        self.failing[task] = Failing(task, cause, attempts, self._monotonic() + pause)
        log.error(
            "daemon.task_failed",
            task=task,
            cause=cause,
            attempt=attempts,
            retry_in_seconds=pause,
            traceback=traceback_of(error),
        )

    def succeeded(self, task: str) -> None:
        """Note that a piece of work was done."""
        if self.failing.pop(task, None) is not None:
            log.info("daemon.task_recovered", task=task)

    def waits(self, task: str) -> float:
        """Return how many seconds a piece of work has to wait still."""
        failing = self.failing.get(task)
        return max(failing.at - self._monotonic(), 0.0) if failing is not None else 0.0


def later(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE_SECONDS)

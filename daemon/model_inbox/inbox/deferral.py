"""Drops in hand that the disk, a lock or the scanner said no to: tried again, less and less often.

Owns when each of them is tried again, and that its waiting is logged and counted. Never rejects one for it, and
carries nothing out.
"""

from __future__ import annotations

import errno
import os

import structlog

from ..base.machine import Machine
from ..errors import RegistryLocked, ScanError, StorageError
from ..problems import escaped
from ..telemetry.metrics import Tally
from .claims import Claim, Retry

__all__ = ["PASSING_ERRORS", "Retries"]

log = structlog.get_logger("model_inbox")

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0

PASSING_ERRORS = (StorageError, RegistryLocked, ScanError, OSError, MemoryError)
"""What says nothing about a drop, and may not happen again."""


class Retries:
    """The drops that are deferred. Each waits twice as long as the time before."""

    def __init__(self, tally: Tally, machine: Machine) -> None:
        self.claims: list[Claim] = []
        self._tally = tally
        self._monotonic = machine.monotonic

    def defer(self, claim: Claim, error: Exception) -> None:
        """Keep a drop in hand that one of PASSING_ERRORS kept us from going on with."""
        if isinstance(error, MemoryError):
            error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        if isinstance(error, OSError):
            error = StorageError("go on with", claim.folder, error)
        attempts = claim.retry.attempts + 1 if claim.retry is not None else 1
        wait = min(FIRST_RETRY_SECONDS * 2 ** (attempts - 1), LONGEST_RETRY_SECONDS)
        claim.retry = Retry(attempts, self._monotonic() + wait, str(error))
        self.claims.append(claim)
        self._tally.deferrals += 1
        log.warning(
            "drop.deferred",
            drop_id=claim.drop_id,
            stem=escaped(claim.stem),
            cause=claim.retry.cause,
            retry_in_seconds=wait,
            attempt=attempts,
        )

    def due(self) -> list[Claim]:
        """Return the drops whose time has come, no longer deferred."""
        now = self._monotonic()
        due = [claim for claim in self.claims if _at(claim) <= now]
        self.claims[:] = [claim for claim in self.claims if _at(claim) > now]
        return due

    @property
    def next_at(self) -> float | None:
        """When, on the monotonic clock, the next of them is due, or None."""
        return min(map(_at, self.claims), default=None)


def _at(claim: Claim) -> float:
    return claim.retry.at if claim.retry is not None else 0.0

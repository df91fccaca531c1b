"""Drops in hand that could not be gone on with, such as on a full disk: tried again, less and less often.

Owns when each of them is tried again, and that its waiting is logged and counted. What the disk, a lock or the scanner
refused never counts against a drop; an exception that nobody foresaw does (`tries`). While an obstacle on
the disk stops them none is tried, and when it ends all are. Rejects nothing, and carries nothing out.
"""

from __future__ import annotations

from dataclasses import replace

from ..base.log import log
from ..base.machine import Machine
from ..base.remedies import remedy_for
from ..errors import StorageError
from ..problems import escaped
from ..telemetry.metrics import Tally
from .claims import Claim, Committed, Left, Refused, Retry
from .failures import cause_of, log_failure, pause_seconds
from .obstacles import Obstacles
from .tries import Tries

__all__ = ["Retries"]

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
LONGEST_END_SECONDS = 4.0


class Retries:
    """The drops that are deferred. Each waits twice as long as the time before."""

    def __init__(self, tries: Tries, obstacles: Obstacles, tally: Tally, machine: Machine) -> None:
        self.claims: list[Claim] = []
        self._tries = tries
        self._obstacles = obstacles
        self._version = 0
        self._tally = tally
        self._monotonic = machine.monotonic

    def defer(self, claim: Claim, error: Exception) -> None:
        """Keep a drop in hand that one of PASSING_ERRORS kept us from going on with."""
        if isinstance(error, OSError):
            error = StorageError("go on with", claim.folder, error)
        attempts = claim.retry.attempts + 1 if claim.retry is not None else 1
        # What is left of a drop that was decided costs no digest and no scan.
        is_decided = isinstance(claim.stage, (Committed, Refused))
        longest = LONGEST_END_SECONDS if is_decided else LONGEST_RETRY_SECONDS
        wait = min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 16), longest)
        claim.retry = Retry(attempts, self._monotonic() + wait, str(error), _hint_for(error))
        self.claims.append(claim)
        self._tally.deferrals += 1
        if isinstance(error, StorageError):
            self._obstacles.suspect()
        if attempts > 1 and self._is_stopped(claim):
            # The obstacle was logged when it began, and the drop when it was deferred first.
            return
        if is_decided and wait == longest and attempts & (attempts - 1):
            # Where the pauses grow no longer, the lines do: after 8, 16, 32 attempts.
            return
        log.warning(
            "drop.deferred",
            drop_id=claim.drop_id,
            stem=escaped(claim.stem),
            cause=claim.retry.cause,
            retry_in_seconds=wait,
            attempt=attempts,
        )

    def fail(self, claim: Claim, error: Exception) -> None:
        """Count an exception that nobody foresaw, and keep the drop in hand. What it is at is found out again."""
        cause = cause_of(error)
        self._tries.count(claim, cause)
        wait = self.wait_after_failure(claim)
        log_failure(
            claim.stem,
            cause,
            attempt=claim.failures,
            retry_in_seconds=wait,
            drop_id=claim.drop_id,
            error=error,
        )

    def wait_after_failure(self, claim: Claim) -> float:
        """Keep a drop in hand that failed unexpectedly, until it is to be tried again or set aside. Return when."""
        wait = pause_seconds(claim.failures)
        attempts = claim.retry.attempts + 1 if claim.retry is not None else 1
        cause = f"it failed unexpectedly: {claim.failure}"
        claim.stage, claim.retry = Left(), Retry(attempts, self._monotonic() + wait, cause)
        self.claims.append(claim)
        self._tally.deferrals += 1
        return wait

    def due(self) -> list[Claim]:
        """Return the drops whose time has come, no longer deferred."""
        now = self._monotonic()
        if self._version != self._obstacles.version:
            # What an obstacle kept back goes on at once when it ends.
            self._version = self._obstacles.version
            for claim in self.claims:
                if claim.retry is not None:
                    claim.retry = replace(claim.retry, at=now)
        due = [claim for claim in self.claims if _at(claim) <= now and not self._is_stopped(claim)]
        ids = {id(claim) for claim in due}
        self.claims[:] = [claim for claim in self.claims if id(claim) not in ids]
        return due

    @property
    def next_at(self) -> float | None:
        """When, on the monotonic clock, the next of them is due, or None."""
        return min((_at(claim) for claim in self.claims if not self._is_stopped(claim)), default=None)

    def at(self, claim: Claim) -> float:
        """Return when, on the monotonic clock, a drop is tried again: it waits for an obstacle that stops it."""
        if self._is_stopped(claim) and self._obstacles.next_at is not None:
            return self._obstacles.next_at
        return _at(claim)

    def _is_stopped(self, claim: Claim) -> bool:
        return self._obstacles.stopping("refuse" if isinstance(claim.stage, Refused) else "take") is not None


def _hint_for(error: Exception) -> str:
    return remedy_for(error) if isinstance(error, StorageError) else ""


def _at(claim: Claim) -> float:
    return claim.retry.at if claim.retry is not None else 0.0

"""When the inbox's folder is looked at again.

Owns the moments that follow from the last look: the longest time without one, what was left unfinished, and what may
change without an event. Looks at nothing itself.
"""

from __future__ import annotations

from ..base.machine import Machine
from ..inbox.folder import Inbox, Rescan
from ..inbox.readiness import Decision, Wait
from ..model.file_names import scaler_stem
from ..problems.codes import Code
from .watching import Watching

__all__ = ["LookSchedule"]

# How long after a look that was not possible the next one comes.
UNREADABLE_SECONDS = 1.0
# What has stayed as it is for t, and may change without an event, is looked at again after t / 10.
LOOK_AGAIN_FRACTION = 10.0
# Problems that may pass without an event of the file system.
_CHANGES_UNSEEN: frozenset[Code] = frozenset({"artifact.open_for_writing", "drop.unreadable"})


class LookSchedule:
    """The last look at the inbox, and when the next is due. Times are of the monotonic clock, in seconds."""

    def __init__(self, inbox: Inbox, watching: Watching, machine: Machine) -> None:
        self._inbox = inbox
        self._watching = watching
        self._monotonic = machine.monotonic
        self.last: Rescan | None = None
        """What the last look came to; None when it was not possible."""
        self._ended_at = machine.monotonic()  # the last look that listed the folder, with its work
        self._is_listed = True
        self._is_behind = False
        self._unseen_at: float | None = None

    @property
    def waiting(self) -> int:
        """How many things in the inbox wait, as of the last look."""
        return self.last.waiting if self.last is not None else 0

    @property
    def is_behind(self) -> bool:
        """Whether a look is due at once: the last one did not see everything, or its work was not finished."""
        return self._is_behind or (self.last is not None and self.last.partial)

    def is_listing_due(self, now: float) -> bool:
        """Return whether the next look has to list the folder, whatever events told."""
        return self.last is None or self.last.unlisted or now >= self._ended_at + self._watching.look_every_seconds

    def looked(self, rescan: Rescan, *, listed: bool = True) -> None:
        """Note what a look came to, and whether it listed the folder. Its work begins now."""
        self._is_listed = listed
        self._is_behind = False
        self.held_back(rescan)

    def held_back(self, rescan: Rescan) -> None:
        """Note that of the last look some waits that was to be taken: `rescan` says what for."""
        self.last = rescan
        after = self._unseen_after(rescan)
        self._unseen_at = None if after is None else rescan.at + after

    def failed(self) -> None:
        """Note that the inbox could not be looked at."""
        self.last = None
        self._ended_at = self._monotonic()

    def ended(self, *, behind: bool) -> None:
        """Note that the work of the last look has ended. `behind`: some of it is left, for the next look to find."""
        self._is_behind = behind
        if self._is_listed:
            self._ended_at = self._monotonic()

    def due_in(self, now: float) -> float:
        """Return in how many seconds the folder is to be looked at."""
        if self.last is None:
            return self._ended_at + UNREADABLE_SECONDS - now
        if self.is_behind:
            return 0.0
        longest = self._ended_at + self._watching.look_every_seconds
        # What is held back is asked for now: that may be by what was carried out after the look.
        sooner = (self.last.next_at, self._unseen_at, self._inbox.held_until(self.last.at))
        return min((longest, *(moment for moment in sooner if moment is not None))) - now

    def _unseen_after(self, rescan: Rescan) -> float | None:
        """Return how many seconds after a look to look at what may change without an event, or None.

        A writer that has the file mapped and a right that is given send none. Nor does the time that tells a late
        scaler from the first file of a drop. The longer a thing has stayed so, the less often it is looked at.
        """
        settle = self._inbox.limits.settle_seconds
        ages = [
            min(self._inbox.age_seconds(name) for name in drop.present)
            for drop, decision in rescan.drops
            if _may_change_unseen(decision)
        ]
        waits = [max(settle, age / LOOK_AGAIN_FRACTION) for age in ages]
        for stray, _ in rescan.strays:
            if scaler_stem(stray.name) is not None:
                left = settle - self._inbox.unchanged_seconds(stray.name)
                waits += [left] if left > 0 else []
        return min(waits, default=None)


def _may_change_unseen(decision: Decision) -> bool:
    return isinstance(decision, Wait) and any(problem.code in _CHANGES_UNSEEN for problem in decision.problems)

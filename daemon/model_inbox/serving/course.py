"""Which model a follower should serve, decided from what the registry names and what went wrong.

Owns `Course`, the memory of one follower without its objects, and the pauses between attempts. Pure: times are passed
in, and it loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

__all__ = ["Course", "Key", "Step", "key_of", "pause_after"]

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0


class Key(NamedTuple):
    """Which files are served: those of a registered model, with the scaler that it has now."""

    model_id: str
    sequence: int
    sha256: str | None
    scaler_sha256: str | None


def key_of(entry: Mapping[str, Any]) -> Key:
    """Return what tells the files of this entry from all others."""
    return Key(str(entry["model_id"]), int(entry.get("sequence") or 0), entry.get("sha256"), entry.get("scaler_sha256"))


class Step(Enum):
    """KEEP what is served; LOAD the holder and serve it; go BACK to a holder before."""

    KEEP = "keep"
    LOAD = "load"
    BACK = "back"


def pause_after(attempts: int) -> float:
    """Return how many seconds to wait after so many failed attempts in a row."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 16), LONGEST_PAUSE_SECONDS)


@dataclass(slots=True)
class Course:
    """What one follower serves, wants and has given up.

    `holder` is what the registry named at the last look, None for nothing. A model is given up after `give_up_after`
    reports that it fails; that is forgotten when the alias moves.
    """

    give_up_after: int
    served: Key | None = None
    holder: Key | None = None
    failures: int = 0
    given_up: set[Key] = field(default_factory=set)
    attempts: int = 0
    due: float = 0.0
    is_way_back_tried: bool = False

    def look(self, holder: Key | None, *, has_moved: bool, now: float) -> Step:
        """Return what to do, as the registry names `holder` now. `has_moved`: the alias was set since the last look."""
        if has_moved or holder != self.holder:
            self.holder = holder
            self.given_up.clear()
            self.attempts, self.due, self.is_way_back_tried = 0, now, False
            self.failures = 0
        if holder is not None and holder not in self.given_up and holder != self.served:
            if now >= self.due:
                return Step.LOAD
            if self.served is None and not self.is_way_back_tried:
                return Step.BACK
        if self.served in self.given_up and not self.is_way_back_tried:
            return Step.BACK
        return Step.KEEP

    def is_worth_going_back_to(self, key: Key) -> bool:
        """Return whether a holder before the present one may be served in its place."""
        return key != self.holder and key not in self.given_up

    def load_failed(self, now: float) -> float:
        """Note that the holder could not be loaded. Return the seconds until the next attempt."""
        self.attempts += 1
        pause = pause_after(self.attempts)
        self.due = now + pause
        return pause

    def serves(self, key: Key) -> None:
        """Note what is served from now on."""
        self.served = key
        self.failures = 0
        if key == self.holder:
            self.attempts = 0

    def went_back(self) -> None:
        """Note that all holders before were looked at: those that cannot be loaded are not tried again and again."""
        self.is_way_back_tried = True

    def reported(self, key: Key) -> bool:
        """Count a report that a model fails. Return whether it is given up by that."""
        if key != self.served or key in self.given_up:
            return False
        self.failures += 1
        if self.failures < self.give_up_after:
            return False
        self.given_up.add(key)
        self.is_way_back_tried = False
        return True

    def next_due(self, now: float) -> float | None:
        """Return the seconds until there is something to do that no change of the registry tells, or None."""
        if self.holder is None or self.holder == self.served or self.holder in self.given_up:
            return None
        return max(0.0, self.due - now)

    def is_fresh(self) -> bool:
        """Return whether the model that is served is the one that the registry names."""
        return self.served is not None and self.served == self.holder

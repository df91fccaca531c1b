"""The settle time: how long the files of a drop must stay unchanged before it is taken, if nothing else shows its end.

Owns which settle time is in force, how much of it is left for a drop, and why a drop waits for it. Never decides
whether a drop has to settle: `readiness` does, by the end of the sidecar and by leases. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..problems import Problem
from ..problems.drop import drop_settling

__all__ = ["seconds_left", "settle_seconds_of", "still_settling"]

# The settle time if config.yaml does not set one.
SETTLE_SECONDS = 2.0
# The same where the folder is polled: there a change shows only at the next listing.
SETTLE_SECONDS_WHEN_POLLING = 10.0


def settle_seconds_of(configured: float | None, *, polling: bool) -> float:
    """Return the settle time in a folder that is polled, or is not: that of config.yaml, if it sets one."""
    if configured is not None:
        return configured
    return SETTLE_SECONDS_WHEN_POLLING if polling else SETTLE_SECONDS


def seconds_left(unchanged_seconds: Iterable[float], settle_seconds: float) -> float:
    """Return how long a drop has to wait whose files have been unchanged for these times. 0 or less: not any more."""
    return settle_seconds - min(unchanged_seconds)


def still_settling(*, sealed: bool) -> Problem:
    """Return the problem of a drop that waits for the settle time, with the reason. `sealed`: its sidecar is."""
    return drop_settling(
        "nobody can tell whether a file is still being written"
        if sealed
        else "the sidecar does not end with `...` and gives no sha256"
    )

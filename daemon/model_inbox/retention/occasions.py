"""When a daemon applies the retention rules, worked out from what the journal tells.

Owns the times: a second after registrations, every interval besides, and not in the hour after a jump of the clock. The
daemon itself keeps its own time. Pure.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from ..registry.clock import HOLD_SECONDS, clock_line, corrected
from ..registry.journal import Line

__all__ = ["Occasions", "holds_of", "midnights", "moments_of", "sample_of"]

# How long after a registration the rules are applied: what is registered meanwhile counts, too.
_AFTER_REGISTRATION: Final = timedelta(seconds=1)


class Occasions:
    """The times at which the rules are applied between `begin` and `end`."""

    def __init__(
        self,
        begin: datetime,
        end: datetime,
        registrations: Iterable[datetime],
        interval: timedelta,
        holds: Sequence[tuple[datetime, datetime]] = (),
    ) -> None:
        self._begin, self._end, self._interval = begin, end, interval
        self._holds = holds
        self._after_registrations: list[datetime] = []
        for moment in registrations:
            if not self._after_registrations or moment > self._after_registrations[-1]:
                self._after_registrations.append(moment + _AFTER_REGISTRATION)

    def after(self, moment: datetime) -> datetime:
        """Return the first of them that is not before `moment`. It is `end` at the latest."""
        at = bisect_left(self._after_registrations, moment)
        before = self._after_registrations[at - 1] if at else self._begin
        found = before + self._interval * max(1, math.ceil((moment - before) / self._interval))
        if at < len(self._after_registrations):
            found = min(found, self._after_registrations[at])
        for begins, ends in self._holds:
            if begins <= found < ends:
                found = ends
        return min(found, self._end)


def moments_of(lines: Sequence[Line], end: datetime) -> list[datetime]:
    """Return the time of each line by the clock as it was corrected later, none before that of the line before it.

    A line of a clock that is still ahead counts as of `end`.
    """
    clock_lines = [clock_line(line) for line in lines if line.operation == "clock"]
    moments = []
    latest = datetime.min.replace(tzinfo=UTC)
    for line in lines:
        latest = max(latest, min(corrected(line, clock_lines) if clock_lines else line.at, end))
        moments.append(latest)
    return moments


def holds_of(lines: Sequence[Line], moments: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """Return the times during which no rule retires a model, because the clock has jumped and nobody confirmed it."""
    holds: list[tuple[datetime, datetime]] = []
    for line, moment in zip(lines, moments, strict=True):
        if line.operation != "clock":
            continue
        if holds and holds[-1][1] > moment:
            holds[-1] = (holds[-1][0], moment)
        if clock_line(line).jump is not None:
            holds.append((moment, moment + timedelta(seconds=HOLD_SECONDS)))
    return holds


def midnights(begin: datetime, end: datetime) -> list[datetime]:
    """Return `begin`, each midnight in UTC after it, and `end`."""
    day = begin.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    found = [begin.astimezone(UTC)]
    while day < end:
        found.append(day)
        day += timedelta(days=1)
    return [*found, end.astimezone(UTC)]


def sample_of(samples: Sequence[datetime], moment: datetime) -> int:
    """Return the number of the first sample that is not before `moment`."""
    return min(bisect_left(samples, moment), len(samples) - 1)

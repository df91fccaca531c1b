"""The axis of time: which instants of the calendar get a tick, and their texts. All times are UTC.

Owns the steps from a second to a thousand years. Never reads a clock. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from itertools import pairwise

from .labels import width_of
from .scale import Tick

__all__ = ["MONTH_NAMES", "TimeScale", "day_text", "moment_text", "seconds_of", "time_scale", "time_ticks"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86400
_SECONDS = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY)
_MONTHS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12000)
MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# The first Monday: ticks of whole weeks are Mondays.
_MONDAY = 4 * _DAY
_GAP = 16
# Steps with more ticks than this are passed over: their texts cannot stand side by side.
_TICKS_MAX = 24


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Two instants, as seconds since 1970, and the pixels between them."""

    first: float
    last: float
    start: float
    end: float

    def __call__(self, moment: datetime) -> float:
        """Return where an instant stands. One outside of the range stands at its nearest end."""
        return self.place(seconds_of(moment))

    def place(self, seconds: float) -> float:
        """Return where an instant stands that is given in seconds since 1970."""
        share = (seconds - self.first) / (self.last - self.first)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def seconds_of(moment: datetime) -> float:
    """Return an instant in seconds since 1970. One without a zone counts as UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH).total_seconds()


def time_scale(moments: Sequence[datetime], start: float, end: float) -> TimeScale:
    """Return the scale from the first to the last of some instants. A single one stands in the middle of a day."""
    seconds = [seconds_of(moment) for moment in moments] or [0.0]
    first, last = min(seconds), max(seconds)
    if last - first < 1:
        first, last = first - _DAY / 2, last + _DAY / 2
    return TimeScale(first, last, start, end)


def time_ticks(scale: TimeScale, left: float, right: float) -> list[Tick]:
    """Return the ticks with the smallest step whose texts, centred at them, stand between `left` and `right`."""
    for step, instants in _ways(scale):
        ticks: list[Tick] = []
        before: datetime | None = None
        for moment in instants:
            tick = Tick(scale(moment), _text(moment, before, step))
            half = width_of(tick.text) / 2
            if left <= tick.at - half and tick.at + half <= right:
                ticks.append(tick)
                before = moment
        if all(
            one.at + width_of(one.text) / 2 + _GAP <= other.at - width_of(other.text) / 2
            for one, other in pairwise(ticks)
        ):
            return ticks
    return []


def moment_text(moment: datetime) -> str:
    """Return an instant for people, to the minute: `26 Nov 2026 18:20`."""
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{day_text(utc)} {utc:%H:%M}"


def day_text(moment: date) -> str:
    """Return a day for people: `26 Nov 2026`."""
    return f"{moment.day} {MONTH_NAMES[moment.month - 1]} {moment.year}"


def _ways(scale: TimeScale) -> Iterator[tuple[int, list[datetime]]]:
    """Yield the steps in seconds with their instants, the smallest first; those of months count as 31 days each."""
    span = scale.last - scale.first
    for step in _SECONDS:
        if span / step <= _TICKS_MAX:
            offset = _MONDAY if step % (7 * _DAY) == 0 else 0
            first = math.ceil((scale.first - offset) / step)
            last = math.floor((scale.last - offset) / step)
            yield step, [*_calendar(offset + index * step for index in range(first, last + 1))]
    for months in _MONTHS:
        if span / (months * 31 * _DAY) <= _TICKS_MAX:
            yield months * 31 * _DAY, [*_month_starts(scale, months)]


def _calendar(seconds: Iterable[float]) -> Iterator[datetime]:
    for one in seconds:
        with suppress(OverflowError):
            yield _EPOCH + timedelta(seconds=one)


def _month_starts(scale: TimeScale, step: int) -> Iterator[datetime]:
    first, last = (_year_of(seconds) * 12 for seconds in (scale.first, scale.last))
    for month in range(first - first % step, last + 12, step):
        year, index = divmod(month, 12)
        if 1 <= year <= MAXYEAR:
            moment = datetime(year, index + 1, 1, tzinfo=UTC)
            if scale.first <= seconds_of(moment) <= scale.last:
                yield moment


def _year_of(seconds: float) -> int:
    try:
        return (_EPOCH + timedelta(seconds=seconds)).year
    except OverflowError:
        return 1 if seconds < 0 else MAXYEAR


def _text(moment: datetime, before: datetime | None, step: int) -> str:
    """Return the text of a tick: what the tick before it does not say."""
    month = MONTH_NAMES[moment.month - 1]
    new_year = before is None or before.year != moment.year
    if step >= 12 * 31 * _DAY:
        return str(moment.year)
    if step >= 31 * _DAY:
        return f"{month} {moment.year}" if new_year else month
    if step >= _DAY:
        return f"{moment.day} {month} {moment.year}" if new_year else f"{moment.day} {month}"
    clock = f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
    if before is not None and before.date() == moment.date():
        return clock
    day = day_text(moment) if new_year else f"{moment.day} {month}"
    return day if clock == "00:00" else f"{day} {clock}"

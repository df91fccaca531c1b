"""What retention takes next, as a calendar: how many models go on which day, how large they are, and why.

Owns what such a calendar shows. Days are those of UTC. Never works out what goes. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ...base.units import counted, format_size
from .chart import Chart, ColumnHead, Table
from .labels import fitted
from .svg import HEIGHT_OF_LINE, Svg, element, number, picture, plain, text
from .times import MONTH_NAMES, day_text, moment_text

__all__ = ["Calendar", "Going", "calendar_chart"]


@dataclass(frozen=True, slots=True)
class Going:
    """A model that goes at a time. `why` is the same text for the same reason."""

    at: datetime
    model_id: str
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """What goes from a day on. `key` is unique in the page: letters, digits and hyphens."""

    key: str
    first: date
    going: Sequence[Going]
    weeks_max: int = 5
    width: int = 720
    rows_max: int = 60
    reasons_max: int = 4


_HEAD = 24
_CELL = 64
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def calendar_chart(spec: Calendar) -> Chart:
    """Return the calendar. What goes before its first day stands there; what goes after its last week is counted."""
    begin = spec.first - timedelta(days=spec.first.weekday())
    by_day: dict[int, list[Going]] = {}
    for one in sorted(spec.going, key=lambda going: going.at):
        day = max(_day_of(one.at), spec.first)
        by_day.setdefault((day - begin).days, []).append(one)
    last = max((day for day in by_day if day < spec.weeks_max * 7), default=0)
    weeks = min(spec.weeks_max, max(2, last // 7 + 1))
    later = [one for day, found in by_day.items() if day >= weeks * 7 for one in found]
    parts = [*_cells(spec, begin, weeks, by_day)]
    lines = [*_reasons(spec), *([f"{_amount(later)} go after these weeks."] if later else [])]
    top = _HEAD + weeks * _CELL
    for index, line in enumerate(lines):
        parts.append(text(fitted(line, spec.width), 0, top + (index + 1) * HEIGHT_OF_LINE, "note"))
    total = f"{_amount(spec.going)} go" if spec.going else "Nothing goes"
    title = f"What retention takes from {day_text(spec.first)} on"
    described = f"{total}{'. ' if lines else ''}{'. '.join(lines)}. The days are in the table after the calendar."
    height = top + len(lines) * HEIGHT_OF_LINE + 8
    return Chart(picture(spec.key, title, described, (spec.width, height), parts), spec.width, _table(spec, title))


def _cells(spec: Calendar, begin: date, weeks: int, by_day: dict[int, list[Going]]) -> Iterator[Svg]:
    across = spec.width / 7
    for column, name in enumerate(_DAYS):
        yield text(name, column * across + 8, 14, "tick")
    for index in range(weeks * 7):
        row, column = divmod(index, 7)
        left, top = column * across, _HEAD + row * _CELL
        if column == 0:
            yield element("path", class_="grid", d=f"M0 {number(top)}H{number(spec.width)}")
        day, found = begin + timedelta(days=index), by_day.get(index, [])
        if found:
            yield element("rect", class_="cal", x=left + 1, y=top + 1, width=across - 2, height=_CELL - 2)
        if day < spec.first:
            continue
        is_named = day == spec.first or day.day == 1
        shown = f"{day.day} {MONTH_NAMES[day.month - 1]}" if is_named else str(day.day)
        yield text(shown, left + 8, top + 18, "note" if found else "tick")
        if found:
            # A cell has room for "999 models" alone.
            shown = counted(len(found), "model") if len(found) < 1000 else str(len(found))
            yield text(shown, left + 8, top + 37, "note strong")
            yield text(format_size(sum(one.size for one in found)), left + 8, top + 55, "note")
        elif day == spec.first:
            yield text("today", left + 8, top + 37, "tick")


def _day_of(moment: datetime) -> date:
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _amount(going: Sequence[Going]) -> str:
    return f"{counted(len(going), 'model')}, {format_size(sum(one.size for one in going))},"


def _reasons(spec: Calendar) -> list[str]:
    """Return what goes for which reason, the most frequent first."""
    counts = Counter(one.why for one in spec.going)
    shown = [f"{counted(count, 'model')}: {plain(why)}" for why, count in counts.most_common(spec.reasons_max)]
    more = len(counts) - len(shown)
    return [*shown, *([f"{counted(more, 'other reason')} in the table"] if more > 0 else [])]


def _table(spec: Calendar, title: str) -> Table:
    going = sorted(spec.going, key=lambda one: one.at)
    of_all = f" (the first {spec.rows_max} of {len(going)})" if len(going) > spec.rows_max else ""
    return Table(
        f"{title}{of_all}",
        (ColumnHead("Time (UTC)"), ColumnHead("Model"), ColumnHead("Size", is_number=True), ColumnHead("Why")),
        tuple(
            (moment_text(one.at), plain(one.model_id), format_size(one.size), plain(one.why))
            for one in going[: spec.rows_max]
        ),
    )

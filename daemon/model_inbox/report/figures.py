"""Numbers and times of a page as text: columns that stand in line at the decimal point, ages, days.

Owns the digits that are shown. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from ..base.units import format_duration

__all__ = ["age", "aligned", "column", "day", "figure", "minute", "percent"]

_SIGNIFICANT = 4
_PLACES_MAX = 8
_WIDE = 1e7
_UNITS_OF_AGE = (("d", 86400), ("h", 3600), ("min", 60))


def column(values: Iterable[float | None]) -> list[str]:
    """Return the numbers of a column with the same digits after the point, so that they stand in line.

    The smallest number but 0 has four significant digits. A column with numbers that are too far apart, or too small
    or large, is written with exponents. None becomes "", and what is not finite its name.
    """
    kept = list(values)
    sizes = [abs(value) for value in kept if value is not None and math.isfinite(value) and value != 0]
    if not sizes:
        return ["" if value is None else f"{value:.0f}" if math.isfinite(value) else str(value) for value in kept]
    if all(value is None or not math.isfinite(value) or value == int(value) for value in kept) and max(sizes) < _WIDE:
        return [_shown(value, 0) for value in kept]
    # The median, so that one value that is nearly zero does not give all others ten digits.
    middle = sorted(sizes)[len(sizes) // 2]
    places = max(0, _SIGNIFICANT - 1 - math.floor(math.log10(middle)))
    # A number that is not 0 must not look like it.
    places = max(places, -math.floor(math.log10(min(sizes))))
    if places > _PLACES_MAX or max(sizes) >= _WIDE:
        return [_exponential(value) for value in kept]
    return [_shown(value, places) for value in kept]


def figure(value: float | None) -> str:
    """Return a number that stands alone."""
    return column([value])[0]


def _shown(value: float | None, places: int) -> str:
    if value is None:
        return ""
    return f"{value:.{places}f}".replace("-", "−") if math.isfinite(value) else str(value)


def _exponential(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3e}".replace("-", "−") if math.isfinite(value) else str(value)


def percent(part: float) -> str:
    """Return a part as per cent with its sign: "+2.1 %"."""
    if not math.isfinite(part) or abs(part) >= 100:
        return f"{part:+.1e}".replace("-", "−")
    shown = f"{100 * part:+.1f} %".replace("-", "−")
    return "0.0 %" if shown in ("+0.0 %", "−0.0 %") else shown


def minute(moment: datetime) -> str:
    """Return an instant in UTC: "26 Nov 2026, 18:20"."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b} {utc.year:04d}, {utc:%H:%M}"


def day(moment: datetime) -> str:
    """Return the day of an instant in UTC: "26 Nov 2026"."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b} {utc.year:04d}"


def age(moment: datetime, at: datetime) -> str:
    """Return how long before `at` an instant was, in one unit: "47 d", "3 h", "12 min", "9 s"; "in 5 d" after it."""
    seconds = (at - moment) / timedelta(seconds=1)
    if seconds < 0:
        return f"in {age(at, moment)}"
    for unit, length in _UNITS_OF_AGE:
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s" if seconds >= 1 else format_duration(seconds)


def aligned(rows: Sequence[Sequence[float | None]]) -> list[list[tuple[str, str]]]:
    """Return the texts of a table whose rows are of one kind each, such as metrics, so that columns can be compared.

    The numbers of a row have the same digits. The second text of a pair is what is missing at the end of the first, so
    that the points of a column stand under each other.
    """
    texts = [column(row) for row in rows]
    widths = [max(map(_after_point, cells), default=0) for cells in zip(*texts, strict=True)]
    return [[(cell, _padding(cell, width)) for cell, width in zip(row, widths, strict=True)] for row in texts]


def _after_point(text: str) -> int:
    """Return how many characters of a number stand at its point and after it."""
    return len(text) - len(text.partition(".")[0]) if text else 0


def _padding(text: str, width: int) -> str:
    missing = width - _after_point(text)
    return "" if not text or missing <= 0 else ("." + "0" * (missing - 1) if "." not in text else "0" * missing)

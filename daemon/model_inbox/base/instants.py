"""Points in time as text: parsing them with their zone, and the two forms in which they are written.

Owns the grammar of times in sidecars, entries and on the command line. Never reads a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from .units import parse_duration

__all__ = [
    "Instant",
    "as_instant",
    "canonical_instant",
    "millisecond_stamp",
    "parse_instant",
    "parse_stored",
    "parse_time",
    "read_instant",
    "time_is_day",
]

_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:(?:[Tt]|\ +)([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,12}))?)?"
    r"\ ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
INSTANT_HELP = "write it like 2025-10-25T12:00:00Z"
TIME_HELP = f"{INSTANT_HELP}, 2025-10-25, yesterday or '2h ago'"


def parse_instant(text: str) -> datetime:
    """Return the instant that `text` names, in the zone of the text, or in UTC if it names no zone.

    Accepts RFC 3339 and the common forms of ISO 8601: `2025-10-25T12:00:00Z`, a space instead of the T, offsets
    with or without a colon, a date alone (midnight UTC), no seconds. Digits after the microseconds are dropped.
    Raises ValueError with the expected form for any other text.
    """
    # The stored form has a fast path: opening a registry parses thousands of them.
    # The slice has the characters between the numbers.
    if len(text) == 20 and text[4::3] == "--T::Z":
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            # The code below raises the error with its reason.
            pass
    match = _INSTANT.fullmatch(text.strip(" "))
    if not match:
        raise ValueError(f"not a date and time; {INSTANT_HELP}")
    year, month, day, hour, minute, second = (int(digits or 0) for digits in match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond, _zone(match[8] or "Z"))
        # Raises OverflowError where the zone moves the first or the last day of the calendar out of it.
        moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"no such date or time ({error}); {INSTANT_HELP}") from None
    return moment


def parse_stored(text: object) -> datetime | None:
    """Return an instant of a document that somebody else may have written, or None for anything else."""
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None


class Instant(NamedTuple):
    """What the text of an instant names. `has_zone`: it ends in Z or an offset. A date alone has none."""

    moment: datetime
    has_zone: bool


def read_instant(text: str) -> Instant:
    """Return what `parse_instant` does, and whether the text names a zone. Raises ValueError as that does."""
    moment = parse_instant(text)
    match = _INSTANT.fullmatch(text.strip(" "))
    return Instant(moment, has_zone=match is not None and match[8] is not None)


def parse_time(text: str, now: datetime) -> datetime:
    """Return the instant that a person names on the command line: the one grammar of all options that take a time.

    Accepts what `parse_instant` does; `now`, `today` and `yesterday`, which begin at midnight UTC; a duration, which
    counts back from `now` (`2h ago`, or `2h`), and `in 2h`; `@` and the seconds since 1970. Raises ValueError with the
    expected form for any other text.
    """
    word = " ".join(text.lower().split())
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if word in days:
        return days[word]
    if re.fullmatch(r"@[0-9]{1,12}(\.[0-9]{1,6})?", word, re.ASCII):
        try:
            return datetime.fromtimestamp(float(word[1:]), UTC)
        except (OverflowError, ValueError, OSError):
            raise ValueError(f"outside the calendar; {TIME_HELP}") from None
    sign, length = (1, word[3:]) if word.startswith("in ") else (-1, word.removesuffix("ago").rstrip())
    try:
        seconds = parse_duration(length)
    except ValueError:
        if sign > 0 or word.endswith("ago"):
            raise
        return _instant_of_person(text)
    try:
        return now + sign * timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"outside the calendar; {TIME_HELP}") from None


def time_is_day(text: str) -> bool:
    """Return whether a text that `parse_time` accepts names a day: `2025-10-25`, `today` or `yesterday`."""
    word = text.strip().lower()
    return word in ("today", "yesterday") or re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", word, re.ASCII) is not None


def _instant_of_person(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise ValueError(str(error).replace(INSTANT_HELP, TIME_HELP)) from None


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("an offset is at most 23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def as_instant(value: datetime | str) -> datetime:
    """Return an instant that is given as text or as a datetime, with a zone. Raises ValueError if it is not one."""
    if isinstance(value, str):
        return parse_instant(value)
    try:
        if type(value) is datetime:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return parse_instant(canonical_instant(value))
    except (OverflowError, TypeError, ValueError):
        # It is outside the calendar in UTC, or pandas' NaT.
        raise ValueError("not an instant of the calendar") from None


def canonical_instant(moment: datetime | str) -> str:
    """Return an instant in the form in which it is stored: RFC 3339 in UTC, `2025-10-25T12:00:00Z`.

    Microseconds are written only if they are not zero. A datetime without a zone counts as UTC. Raises
    OverflowError for an instant outside the calendar, and ValueError for text that names none.
    """
    if isinstance(moment, str):
        moment = parse_instant(moment)
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    day = f"{utc.year:04d}-{utc.month:02d}-{utc.day:02d}"
    fraction = f".{utc.microsecond:06d}" if utc.microsecond else ""
    return f"{day}T{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d}{fraction}Z"


def millisecond_stamp(moment: datetime) -> str:
    """Return the time of an event for receipts, status and logs: UTC with milliseconds, `2025-10-25T12:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Sorts before every instant: an entry whose trained_at cannot be parsed is older than all others.
_UNREADABLE = -(1 << 63)


def microseconds_of(moment: datetime) -> int:
    """Return a datetime with a zone as whole microseconds since 1970 (UTC)."""
    return (moment - _EPOCH) // _MICROSECOND


def instant_microseconds(text: object) -> int:
    """Return an instant as whole microseconds since 1970 (UTC). Text that cannot be parsed sorts before all others."""
    if not isinstance(text, str):
        return _UNREADABLE
    try:
        return microseconds_of(parse_instant(text))
    except (ValueError, OverflowError):
        return _UNREADABLE

"""Durations and sizes as people write them: `15m`, `1h30m`, `20GiB`.

Owns the two notations of config.yaml and the command line, both ways. Never reads a clock, and knows nothing
of calendars: a day is 86,400 seconds here (the months and years of a retention policy are policy.py's).
"""

from __future__ import annotations

import math
import re

__all__ = ["format_duration", "format_size", "parse_duration", "parse_size"]

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION_MAX = 100 * 365.25 * 86400
_DURATION_PARTS = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)\s*", re.ASCII)
_DURATION_HELP = "write it like '90s', '15m', '1h30m', '7d' or '2w' (m is minutes)"

_BYTES = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtpe", start=1)},
}
_SIZE_MAX = 2**60
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_SIZE_HELP = "write it like '500MB', '20GiB' or a plain number of bytes"


def parse_duration(value: str | float) -> float:
    """Return the seconds that `value` stands for.

    A number counts as seconds. Text is one or more numbers with a unit, added up: ms, s, m (minutes), h, d,
    w; text that is a number alone counts as seconds too. Raises ValueError, saying how to write it, for
    anything else, for less than nothing and for more than a hundred years.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a duration; {_DURATION_HELP}")
    seconds = _seconds_of_text(value.strip()) if isinstance(value, str) else _as_float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"a duration must be a finite number and not negative; {_DURATION_HELP}")
    if seconds > _DURATION_MAX:
        raise ValueError(f"longer than a hundred years; {_DURATION_HELP}")
    return seconds


def _seconds_of_text(text: str) -> float:
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text, re.ASCII):
        return float(text)
    seconds, position = 0.0, 0
    while position < len(text) and (part := _DURATION_PARTS.match(text, position)):
        seconds += float(part[1]) * _MILLISECONDS[part[2]] / 1000
        position = part.end()
    if position == 0 or position < len(text):
        raise ValueError(f"not a duration; {_DURATION_HELP}")
    return seconds


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an int beyond the largest float
        return math.inf


def format_duration(seconds: float) -> str:
    """Return `seconds` for people, in at most two units: `350ms`, `2.5s`, `1h30m`, `30d`.

    What is smaller than the units shown is dropped, never rounded up. `parse_duration` reads it.
    """
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 1:
        milliseconds = math.floor(seconds * 1000 + 1e-6)
        return f"{milliseconds}ms" if milliseconds else "0s"
    if seconds < 60:
        return f"{math.floor(seconds * 10 + 1e-6) / 10:g}s"
    rest = math.floor(seconds)
    parts: list[tuple[int, str]] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if parts or count:
            parts.append((count, unit))
    return "".join(f"{count}{unit}" for count, unit in parts[:2] if count)


def parse_size(value: str | float) -> int:
    """Return the bytes that `value` stands for.

    A number counts as bytes. Text is a number with a unit in any case: kB, MB, GB, TB, PB are powers of 1,000
    and KiB to EiB powers of 1,024. A bare `20G` is refused, because programs disagree on what it
    is. Raises ValueError, saying how to write it, for anything else and for more than an exbibyte.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"not a size; {_SIZE_HELP}")
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if not match:
            raise ValueError(f"not a size; {_SIZE_HELP}")
        unit = _BYTES.get(match[2].lower())
        if unit is None:
            raise ValueError(f"not a unit of size; {_SIZE_HELP}")
        # Whole numbers stay integers: a float would round what is over 2^53 bytes.
        whole = "." not in match[1] and len(match[1]) <= 20
        size = int(match[1]) * unit if whole else round(float(match[1]) * unit, 0)
    else:
        size = _as_float(value)
    if not math.isfinite(size) or size < 0:
        raise ValueError(f"a size must be a finite number and not negative; {_SIZE_HELP}")
    if size > _SIZE_MAX:
        raise ValueError(f"more than an exbibyte; {_SIZE_HELP}")
    return int(size)


def format_size(size: int) -> str:
    """Return `size` bytes for people, with three significant digits: `812 B`, `1.50 KiB`, `20.0 GiB`."""
    if size < 0:
        return "-" + format_size(-size)
    if size < 1024:
        return f"{size} B"
    units = iter(("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))
    amount, unit = size / 1024, next(units)
    while amount >= 999.5 and unit != "EiB":
        amount, unit = amount / 1024, next(units)
    digits = 2 if amount < 9.995 else 1 if amount < 99.95 else 0
    return f"{amount:.{digits}f} {unit}"

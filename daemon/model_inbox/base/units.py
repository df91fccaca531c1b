"""Durations, sizes, ranges of numbers and counts as text: `15m`, `1h30m`, `20GiB`, `1-5, 9`, `1 model`.

Owns parsing and formatting of these, for config.yaml and the command line. Never reads a clock and knows no calendar:
a day is 86,400 seconds. The months and years of retention policies are in `config.retention`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

__all__ = ["counted", "format_duration", "format_size", "parse_duration", "parse_size", "spans"]

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
    """Return a duration in seconds.

    A number counts as seconds, as does text that is a number alone. Other text is one or more numbers with units,
    which are added up: ms, s, m (minutes), h, d, w. Raises ValueError with the expected form for any other value,
    for a negative duration and for more than a hundred years.
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
    except OverflowError:
        # An int larger than the largest float.
        return math.inf


def format_duration(seconds: float) -> str:
    """Return `seconds` for people, in at most two units: `350ms`, `2.5s`, `1h30m`, `30d`.

    Smaller units are dropped, never rounded up. `parse_duration` accepts the result.
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
    """Return a size in bytes.

    A number counts as bytes. Text is a number with a unit, in upper or lower case: kB, MB, GB, TB, PB are powers of
    1,000 and KiB to EiB powers of 1,024. `20G` is refused, because some programs use it for GB and others for GiB.
    Raises ValueError with the expected form for any other value and for more than one exbibyte.
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
        # Whole numbers stay integers: a float rounds numbers over 2^53.
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


def spans(pairs: Iterable[tuple[int, int]]) -> str:
    """Return pairs of a first and a last number as text: `1-5, 9`."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in pairs)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 model", "2 models"."""
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
